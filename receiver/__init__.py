"""Receiving half of a Talkface call: jitter buffer, decoding, media clock, rendering, sinks."""
