"""Sound as the models hear it: mel, E_audio, Opus, resampling (paper III.B, III.C)."""
