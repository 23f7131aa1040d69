"""What a call cost and how it went: JSON, terminal, page."""
