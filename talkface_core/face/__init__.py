"""What draws a face: encoders, generator, the model of a call (paper III.D, III.F)."""
