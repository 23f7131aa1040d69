"""Sending half of a Talkface call: sources, Opus encoding, packets, rate control."""
