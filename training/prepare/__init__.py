"""Raw video to clips, every drop with its reason."""
