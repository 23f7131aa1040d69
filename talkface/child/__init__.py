"""Processes that we start: the handle on one, its main function, and its options in a file."""
