"""The `talkface` command, one file per command."""
