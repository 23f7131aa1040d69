"""RTCP between aiortc and the wire: ours to thin, to read and to write."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiortc import RTCRtpTransceiver


@dataclass(slots=True)
class RtcpHooks:
    """Where RTCP goes out and comes in."""

    admit: Callable[[bytes], bytes | None]
    """Given an RTCP packet on its way out: what to send instead, or None."""
    received: Callable[[bytes], None]
    """Given the decrypted RTCP of every datagram."""
    send: Callable[[bytes], Awaitable[None]] = field(init=False)
    """Send an RTCP packet of ours; set by `hook_rtcp`. Raises ConnectionError when the connection is gone."""
    own_ssrc: int = field(init=False)


def hook_rtcp(transceiver: RTCRtpTransceiver, hooks: RtcpHooks) -> None:
    """Put `hooks` between aiortc and the wire. aiortc's own RTCP handling (NACK answers among it) no longer runs."""
    dtls = transceiver.receiver.transport
    original = dtls._send_rtp

    async def send_rtp(data: bytes) -> None:
        if len(data) >= 2 and 192 <= data[1] <= 223:
            admitted = hooks.admit(data)
            if admitted is None:
                return
            data = admitted
        await original(data)

    async def handle_rtcp_data(data: bytes) -> None:
        hooks.received(data)

    dtls._send_rtp = send_rtp  # type: ignore[method-assign]
    dtls._handle_rtcp_data = handle_rtcp_data  # type: ignore[method-assign]
    hooks.send = original
    hooks.own_ssrc = transceiver.sender._ssrc
