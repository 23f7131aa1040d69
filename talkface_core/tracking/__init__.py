"""Finding a face and its 68 landmarks, frame after frame."""
