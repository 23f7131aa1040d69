"""A bad network on purpose, between two sides on one machine."""
