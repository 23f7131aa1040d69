"""Wire format of a Talkface call: messages, style block, identity file, presets, signalling."""
