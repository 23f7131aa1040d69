"""Whether a far end's port is closed: "port unreachable" (RFC 792, RFC 4443) in answer to what we sent.

A program that was killed cannot say that it leaves, but the machine that it ran on says that nobody listens any more.
Linux passes that on to a socket without a fixed peer only when asked to (IP_RECVERR in ip(7)), and then keeps it in a
queue that must be emptied: a socket with something in it counts as readable for ever. Elsewhere there is no such news.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import struct
import sys

_IP_RECVERR, _IPV6_RECVERR = 11, 25
_ERROR_NUMBER = struct.Struct("I")
"""First field of `struct sock_extended_err`."""
_MAX_ERRORS = 64


def ask_for_refusals(transport: asyncio.BaseTransport) -> None:
    """Have refusals reported to this socket; nothing where the system cannot."""
    sock = _socket_of(transport)
    if sock is None:
        return
    with sock, contextlib.suppress(OSError):
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)


def take_refusals(transport: asyncio.BaseTransport) -> list[tuple[str, int]]:
    """Addresses whose port is closed, of all that was reported since the last call; empties the queue."""
    sock = _socket_of(transport)
    if sock is None:
        return []
    refused = []
    with sock, contextlib.suppress(OSError):  # when the queue is empty
        for _ in range(_MAX_ERRORS):
            _, notes, _, address = sock.recvmsg(0, 512, socket.MSG_ERRQUEUE)
            if any(_says_refused(level, kind, data) for level, kind, data in notes):
                refused.append((str(address[0]), int(address[1])))
    return refused


def _says_refused(level: int, kind: int, data: bytes) -> bool:
    is_error = (level, kind) in ((socket.IPPROTO_IP, _IP_RECVERR), (socket.IPPROTO_IPV6, _IPV6_RECVERR))
    return is_error and len(data) >= _ERROR_NUMBER.size and _ERROR_NUMBER.unpack_from(data)[0] == errno.ECONNREFUSED


def _socket_of(transport: asyncio.BaseTransport) -> socket.socket | None:
    """The socket itself, of which asyncio shows only a part; None on systems without such queues."""
    shown = transport.get_extra_info("socket")
    if sys.platform != "linux" or shown is None or shown.fileno() < 0:
        return None
    return socket.socket(fileno=os.dup(shown.fileno()))
