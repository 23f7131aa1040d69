"""Media time of a live source: how many ticks of sound the microphone has given, and where it is between two reads."""

from __future__ import annotations

import threading

from protocol.interfaces import Clock
from protocol.rtp_time import RTP_CLOCK_HZ


class MediaTime:
    """The session marks it at every packet; a camera asks it when a picture comes. Safe across threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._ticks = 0
        self._marked_us = clock.now_us()

    def mark(self, ticks: int) -> None:
        """The source has given `ticks` ticks by now."""
        with self._lock:
            self._ticks, self._marked_us = ticks, self._clock.now_us()

    def now_ticks(self) -> int:
        """Media time now, never more than a second past the last mark."""
        with self._lock:
            elapsed_us = self._clock.now_us() - self._marked_us
            return self._ticks + min(max(elapsed_us, 0) * RTP_CLOCK_HZ // 1_000_000, RTP_CLOCK_HZ)
