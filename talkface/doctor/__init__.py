"""What this machine has and lacks for a call: `talkface doctor`."""
