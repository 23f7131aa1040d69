"""What one side of a call is made of, and what it writes down."""
