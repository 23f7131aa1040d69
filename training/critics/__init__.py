"""Discriminators, and the adversarial terms that they give."""
