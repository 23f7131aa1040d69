"""Training of every Talkface model: data, losses, loop, evaluation."""
