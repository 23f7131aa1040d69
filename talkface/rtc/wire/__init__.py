"""What crosses the sockets of a call: kinds of datagrams, and their bytes by component."""
