"""Errors of a connection."""

from __future__ import annotations


class LinkError(ConnectionError):
    """The connection cannot be made or is gone; `call` tries again with a new one."""
