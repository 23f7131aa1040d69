"""The legs between us and a TURN server, over UDP and over TCP, counted."""

from __future__ import annotations

from typing import Any

from aioice import turn

from talkface.rtc.adapter.socket_context import CURRENT
from talkface.rtc.wire.datagram import IPV4_TCP_BYTES, IPV4_UDP_BYTES


def _turn_framing(data: bytes) -> tuple[bytes, int]:
    """What a message to or from a TURN server carries, and its framing: 4 bytes and stream padding for channel data."""
    if len(data) >= 4 and data[0] & 0xC0 == 0x40:
        inner = data[4 : 4 + int.from_bytes(data[2:4], "big")]
        return inner, len(data) - len(inner)
    return data, 0


class TurnUdp(turn.TurnClientUdpProtocol):
    """aioice's UDP leg to a TURN server, counted."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ours = CURRENT.get()

    def _send(self, data: bytes) -> None:
        if self._ours is not None:
            inner, framing = _turn_framing(data)
            self._ours.tap.sent(inner, IPV4_UDP_BYTES, framing)
        super()._send(data)

    def datagram_received(self, data: Any, addr: Any) -> None:
        if self._ours is not None:
            inner, framing = _turn_framing(data)
            self._ours.tap.received(inner, IPV4_UDP_BYTES, framing)
        super().datagram_received(data, addr)


class TurnTcp(turn.TurnClientTcpProtocol):
    """aioice's TCP leg to a TURN server, counted per message."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ours = CURRENT.get()

    def _send(self, data: bytes) -> None:
        if self._ours is not None:
            inner, framing = _turn_framing(self._padded(data))
            self._ours.tap.sent(inner, IPV4_TCP_BYTES, framing)
        super()._send(data)

    def datagram_received(self, data: Any, addr: Any) -> None:
        if self._ours is not None:
            inner, framing = _turn_framing(data)
            self._ours.tap.received(inner, IPV4_TCP_BYTES, framing)
        super().datagram_received(data, addr)
