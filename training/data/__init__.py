"""Prepared clips, shards, batches, and the sound's changes."""
