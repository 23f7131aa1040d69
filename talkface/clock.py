"""The production clock."""

from __future__ import annotations

import time


class MonotonicClock:
    """`protocol.interfaces.Clock` on the machine's monotonic clock: comparable between processes of one machine."""

    def now_us(self) -> int:
        """Microseconds since boot."""
        return time.monotonic_ns() // 1000
