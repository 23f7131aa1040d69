"""The production clock."""

from __future__ import annotations

import time

from protocol.interfaces import Clock


class MonotonicClock:
    """`protocol.interfaces.Clock` on the machine's monotonic clock: comparable between processes of one machine."""

    def now_us(self) -> int:
        """Microseconds since boot."""
        return time.monotonic_ns() // 1000


class SkewedClock:
    """A monotonic clock that runs fast by so many parts per million, to test the far end's skew tracking."""

    def __init__(self, clock: Clock, fast_ppm: float) -> None:
        self._clock = clock
        self._fast_ppm = fast_ppm
        self._start_us = clock.now_us()

    def now_us(self) -> int:
        """Microseconds; equal to the other clock's when this one was made."""
        elapsed_us = self._clock.now_us() - self._start_us
        return self._start_us + elapsed_us + round(elapsed_us * self._fast_ppm * 1e-6)
