"""A bad network on purpose, between two ends on one machine."""
