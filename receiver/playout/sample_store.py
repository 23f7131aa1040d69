"""Percentiles over the last so many measurements, in memory that does not grow."""

from __future__ import annotations

import numpy as np

DEFAULT_CAPACITY = 32_768


class SampleStore:
    """A ring of float64 measurements."""

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        self._values = np.zeros(capacity, dtype=np.float64)
        self.count = 0
        """Measurements ever added."""

    def add(self, value: float) -> None:
        self._values[self.count % self._values.shape[0]] = value
        self.count += 1

    def percentiles(self, *quantiles: float) -> list[float | None]:
        """One value per quantile (0..1) over what the ring holds; None while it is empty."""
        held = self._values[: min(self.count, self._values.shape[0])]
        if held.size == 0:
            return [None] * len(quantiles)
        return [round(float(value), 3) for value in np.quantile(held, quantiles)]


class PcmReadyLog:
    """When the sound of each packet was ready: the receiving half of the latency measurement.

    The sending side knows when it sent which packet; whoever holds both subtracts.
    """

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        self._rows = np.zeros((capacity, 3), dtype=np.int64)
        self._count = 0

    def add(self, sequence_number: int, rtp_timestamp: int, ready_us: int) -> None:
        """One packet of the wire whose sound was decoded and handed to playout at `ready_us`."""
        self._rows[self._count % self._rows.shape[0]] = (sequence_number, rtp_timestamp, ready_us)
        self._count += 1

    def rows(self) -> list[tuple[int, int, int]]:
        """(16-bit sequence number, 32-bit RTP timestamp, local us), oldest first; the last `capacity` packets."""
        size = self._rows.shape[0]
        split = self._count % size if self._count > size else 0
        held = np.concatenate([self._rows[split : min(self._count, size)], self._rows[:split]])
        return [(int(sequence), int(timestamp), int(ready)) for sequence, timestamp, ready in held]
