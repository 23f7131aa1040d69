"""Errors of a connection."""

from __future__ import annotations


class LinkError(ConnectionError):
    """The connection cannot be made or is gone; `call` tries again with a new one."""


class PeerGoneError(LinkError):
    """The far end's program has ended without a goodbye, in a call that ran. Reconnecting cannot help."""

    def __init__(self) -> None:
        super().__init__("the far end is gone: its program ended in the middle of the call, without hanging up")
