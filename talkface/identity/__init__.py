"""Identities of the person at this machine: the key that signs them, and what a file says to people."""
