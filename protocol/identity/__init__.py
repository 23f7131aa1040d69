"""An identity on the wire: file format, signing key, transfer by content."""
