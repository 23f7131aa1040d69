"""What the sockets of one connection share while they are made, and how a socket learns whose it is."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from talkface.rtc.gate import DatagramGate
from talkface.rtc.wire.meter import LinkTap


@dataclass(slots=True)
class SocketContext:
    """Of one connection."""

    tap: LinkTap
    gate: DatagramGate
    heard: Callable[[], None]
    """Called for every datagram from the peer."""
    refused: Callable[[], None]
    """Called when the peer's machine says that its port is closed."""
    addresses: Sequence[str] | None = None
    """Local addresses to gather on; None for all but loopback."""


CURRENT: contextvars.ContextVar[SocketContext | None] = contextvars.ContextVar("talkface_socket", default=None)
"""Set while one of our connections gathers; other users of aioice see None and stock behaviour."""
