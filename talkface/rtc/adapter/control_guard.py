"""The SCTP association below the control channel, made to survive its peer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from aiortc import rtcsctptransport

logger = logging.getLogger(__name__)

CONTROL_RTO_S = 1.5
"""First wait of SCTP before it repeats; aiortc waits 3 s, and on a lossy path a call then starts many seconds late. Its
eight repeats have to last until the far end's DTLS is up, which may be late too."""
MAX_CONTROL_BACKLOG_BYTES = 2 * 1024 * 1024
"""Unfinished control messages that a peer may make us hold; aiortc announces 1 MiB but takes any amount."""


def guard_control(sctp: Any, dropped: Callable[[], None]) -> None:
    """Survive SCTP bytes that aiortc cannot handle, bound what unfinished messages may hold, and repeat sooner."""
    original = sctp._handle_data
    original_send = sctp._send_chunk
    sctp._rto = CONTROL_RTO_S

    async def send_chunk(chunk: Any) -> None:
        if not isinstance(chunk, rtcsctptransport.InitChunk):
            await original_send(chunk)
            return
        # An INIT carries tag 0 (RFC 9260 section 8.5.1). aiortc gives a repeated one the tag that it has learnt from
        # the far end's INIT meanwhile; it is dropped there, and one lost INIT ACK ends the association.
        packet = rtcsctptransport.serialize_packet(sctp._local_port, sctp._remote_port, 0, chunk)
        await sctp.transport._send_data(packet)

    async def handle_data(data: bytes) -> None:
        if sctp._advertised_rwnd < 1024 * 1024 - MAX_CONTROL_BACKLOG_BYTES:
            dropped()
            return
        try:
            await original(data)
        except ConnectionError:
            raise
        except Exception:  # whatever a peer's bytes trip over in aiortc must not end its receive loop
            logger.debug("dropped control bytes that aiortc could not handle", exc_info=True)
            dropped()

    sctp._handle_data = handle_data
    sctp._send_chunk = send_chunk
