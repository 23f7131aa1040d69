"""Changing a face: inversion, directions, official StyleGAN2 checkpoints."""
