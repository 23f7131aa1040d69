"""The control channel's association comes up on a lossy path: a repeated INIT is one that the far end accepts."""

from __future__ import annotations

import asyncio

from aiortc import rtcsctptransport

from talkface.rtc.adapter.control_guard import CONTROL_RTO_S, guard_control


class _Wire:
    def __init__(self) -> None:
        self.sent: list[bytes] = []

    async def _send_data(self, data: bytes) -> None:
        self.sent.append(data)


class _Association:
    """What guard_control touches of aiortc's association, after the far end's INIT has come."""

    def __init__(self) -> None:
        self.transport = _Wire()
        self._local_port = self._remote_port = 5000
        self._remote_verification_tag = 0x1234
        self._advertised_rwnd = 1 << 20
        self._rto = rtcsctptransport.SCTP_RTO_INITIAL

    async def _handle_data(self, data: bytes) -> None:
        raise AssertionError("nothing comes in here")

    async def _send_chunk(self, chunk: rtcsctptransport.Chunk) -> None:
        packet = rtcsctptransport.serialize_packet(5000, 5000, self._remote_verification_tag, chunk)
        await self.transport._send_data(packet)


def test_init_has_no_tag_and_everything_else_has() -> None:
    association = _Association()
    guard_control(association, lambda: None)
    for chunk in (rtcsctptransport.InitChunk(), rtcsctptransport.InitAckChunk(), rtcsctptransport.CookieAckChunk()):
        asyncio.run(association._send_chunk(chunk))
    tags = [rtcsctptransport.parse_packet(packet)[2] for packet in association.transport.sent]
    assert tags == [0, 0x1234, 0x1234]
    assert association._rto == CONTROL_RTO_S
