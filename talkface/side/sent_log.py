"""When each packet left, for latency: bounded, whatever the length of the call."""

from __future__ import annotations

from array import array


class SentLog:
    """When each of the last packets left: 16 bytes per packet, bounded."""

    CAPACITY = 65_536
    """An hour at 60 ms."""

    def __init__(self) -> None:
        self._timestamps, self._times_us = array("Q"), array("Q")
        self._count = 0

    def add(self, rtp_timestamp: int, now_us: int) -> None:
        """One packet; the oldest gives way when the log is full."""
        if self._count < self.CAPACITY:
            self._timestamps.append(rtp_timestamp)
            self._times_us.append(now_us)
        else:
            index = self._count % self.CAPACITY
            self._timestamps[index], self._times_us[index] = rtp_timestamp, now_us
        self._count += 1

    def rows(self) -> tuple[tuple[int, int], ...]:
        """(RTP timestamp, time in us), by time."""
        rows = zip(self._timestamps, self._times_us, strict=True)
        return tuple(sorted(rows, key=lambda row: row[1]))
