"""Meeting the far end: signalling server, client, rooms and what guards them."""
