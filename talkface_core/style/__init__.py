"""Talking style: input, encoder, quantiser, codec, tables, tracks (paper III.E)."""
