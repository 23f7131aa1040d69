"""Once a second during a call: memory, rate and delay of this side, for curves and for the progress line."""

from __future__ import annotations

import asyncio

import psutil

from protocol.interfaces import Clock
from talkface.progress import Progress
from talkface.rtc.wire.meter import WireMeter

INTERVAL_S = 1.0
MAX_SAMPLES = 24 * 3600
"""A day; a longer call keeps its first day."""


class SideSampler:
    """Samples until it is cancelled."""

    def __init__(self, meter: WireMeter, clock: Clock, progress: Progress) -> None:
        self._meter, self._clock, self._progress = meter, clock, progress
        self._process = psutil.Process()
        self.memory: list[tuple[float, float]] = []
        """(seconds since the start, resident MB)."""
        self.wire_up: list[tuple[float, float]] = []
        """(seconds since the start, kbps in the second before)."""

    async def run(self) -> None:
        """Sample once a second."""
        start_us = before_us = self._clock.now_us()
        before_bytes = self._bytes_up()
        while True:
            await asyncio.sleep(INTERVAL_S)
            now_us, now_bytes = self._clock.now_us(), self._bytes_up()
            seconds = (now_us - start_us) / 1e6
            kbps = (now_bytes - before_bytes) * 8_000 / (now_us - before_us)
            before_us, before_bytes = now_us, now_bytes
            if len(self.memory) < MAX_SAMPLES:
                self.memory.append((round(seconds, 2), round(self._process.memory_info().rss / 2**20, 2)))
                self.wire_up.append((round(seconds, 2), round(kbps, 3)))
            self._progress.tick(seconds, kbps)

    def _bytes_up(self) -> int:
        return sum(self._meter.up.total.values())
