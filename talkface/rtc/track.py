"""The outgoing audio track: Opus packets that are coded already, handed to aiortc as `av.Packet` (its public way)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from protocol.interfaces import PacketCost
from protocol.rtp_time import RTP_CLOCK_HZ

MAX_QUEUED_PACKETS = 32
"""Two seconds at 60 ms; only a stalled event loop fills it. Full: the oldest packet is dropped."""
_TIME_BASE = Fraction(1, RTP_CLOCK_HZ)


class PacketTrack(MediaStreamTrack):
    """Feeds `RTCRtpSender` from a bounded queue; `taken` is told about each packet just before it is sent."""

    kind = "audio"

    def __init__(self, taken: Callable[[PacketCost], None]) -> None:
        super().__init__()
        self._taken = taken
        self._queue: deque[tuple[bytes, int, PacketCost]] = deque()
        self._filled = asyncio.Event()
        self.dropped = 0

    def push(self, payload: bytes, timestamp_ticks: int, cost: PacketCost) -> None:
        """Queue one packet; drops the oldest when full."""
        if len(self._queue) >= MAX_QUEUED_PACKETS:
            self._queue.popleft()
            self.dropped += 1
        self._queue.append((payload, timestamp_ticks, cost))
        self._filled.set()

    async def recv(self) -> av.Packet[Any]:
        """The next packet, for aiortc."""
        while not self._queue:
            if self.readyState != "live":
                raise MediaStreamError
            self._filled.clear()
            await self._filled.wait()
        payload, timestamp_ticks, cost = self._queue.popleft()
        self._taken(cost)
        packet: av.Packet[Any] = av.Packet(payload)
        packet.pts, packet.time_base = timestamp_ticks, _TIME_BASE
        return packet

    def stop(self) -> None:
        """End the track; a waiting `recv` raises MediaStreamError."""
        super().stop()
        self._filled.set()
