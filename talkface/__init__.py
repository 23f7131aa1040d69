"""The Talkface application: command line, call, demo, experiments."""
