"""Style values of pictures by media time, and what they are between two pictures and after the last."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from protocol.rtp_time import RTP_CLOCK_HZ

MAX_AGE_TICKS = RTP_CLOCK_HZ
"""Values older than this say nothing about the face any more."""
MAX_VALUES = 64


class StyleTimeline:
    """The newest values, oldest dropped; times only grow. Not safe across threads: its owner holds a lock."""

    def __init__(self) -> None:
        self._values: deque[tuple[int, NDArray[np.float32]]] = deque(maxlen=MAX_VALUES)

    def __len__(self) -> int:
        return len(self._values)

    def add(self, ticks: int, values: NDArray[np.float32]) -> None:
        """[16] of the picture at `ticks`, later than the one before."""
        self._values.append((ticks, values.astype(np.float32, copy=False)))

    def at(self, ticks: int) -> NDArray[np.float32] | None:
        """[16] at a media time: between two pictures interpolated, after the newest held for a second, then None.

        What lies before the pair around `ticks` is forgotten.
        """
        while len(self._values) >= 2 and self._values[1][0] <= ticks:
            self._values.popleft()
        if not self._values or ticks - self._values[0][0] > MAX_AGE_TICKS:
            return None
        before_ticks, before = self._values[0]
        if len(self._values) < 2 or ticks <= before_ticks:
            return before.copy() if before_ticks - ticks <= MAX_AGE_TICKS else None
        after_ticks, after = self._values[1]
        if after_ticks - before_ticks > MAX_AGE_TICKS:  # no face in between: nothing to interpolate
            return before.copy()
        weight = np.float32((ticks - before_ticks) / (after_ticks - before_ticks))
        return (before + weight * (after - before)).astype(np.float32)
