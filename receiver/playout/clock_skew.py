"""How much faster the sender's 48 kHz clock runs than ours: a line through the arrival minima.

Network delay only ever adds, so the least delayed packet of each few seconds lies on the line
`arrival = timestamp · (1 - skew) + constant`. Regression over those minima, after one pass that drops outliers,
finds the skew within a few ppm after a minute (the idea of Moon, Skelly and Towsley, INFOCOM 1999, in small).
"""

from __future__ import annotations

from collections import deque

import numpy as np

MAX_SKEW_PPM = 500.0
"""Crystals stay within 100 ppm; more than this is not a clock but a measurement gone wrong."""
BUCKET_US = 5_000_000
MIN_BUCKETS = 9
"""A slope over less than 45 s says more about jitter than about clocks."""
MAX_BUCKETS = 120
STEP_US = 15_000
"""A minimum that leaves the line by more is another route or packet size, not skew: start again."""
_OUTLIER_US = 300.0


class ClockSkewEstimator:
    """Feed every packet; read `ppm`."""

    def __init__(self) -> None:
        self.ppm = 0.0
        """Positive: the sender's clock is fast. 0 until enough was seen."""
        self._minima: deque[tuple[int, float]] = deque(maxlen=MAX_BUCKETS)
        self._bucket_index: int | None = None
        self._bucket_best: tuple[int, float] | None = None

    def observe(self, media_time_us: int, offset_us: float) -> None:
        """Take one packet: its timestamp as time, and arrival minus that."""
        index = media_time_us // BUCKET_US
        if self._bucket_index is not None and index < self._bucket_index:
            return  # misordered across a bucket's end: its time is over
        if index != self._bucket_index:
            self._close_bucket()
            self._bucket_index, self._bucket_best = index, None
        if self._bucket_best is None or offset_us < self._bucket_best[1]:
            self._bucket_best = (media_time_us, offset_us)

    def reset(self) -> None:
        """Forget the line but keep the skew: after a restart the two crystals are still the same."""
        self._minima.clear()
        self._bucket_index, self._bucket_best = None, None

    def _close_bucket(self) -> None:
        if self._bucket_best is None:
            return
        if self._minima:
            time_us, offset_us = self._minima[-1]
            predicted = offset_us - self.ppm * 1e-6 * (self._bucket_best[0] - time_us)
            if abs(self._bucket_best[1] - predicted) > STEP_US:
                self._minima.clear()
        self._minima.append(self._bucket_best)
        if len(self._minima) >= MIN_BUCKETS:
            self.ppm = self._fit()

    def _fit(self) -> float:
        points = np.array(self._minima, dtype=np.float64)  # [N, 2]
        points -= points[0]
        slope, intercept = np.polyfit(points[:, 0], points[:, 1], 1)
        residual = points[:, 1] - (slope * points[:, 0] + intercept)
        good = np.abs(residual) <= max(_OUTLIER_US, 2.0 * float(np.median(np.abs(residual))))
        if good.sum() >= MIN_BUCKETS - 2:
            slope = np.polyfit(points[good, 0], points[good, 1], 1)[0]
        return float(np.clip(-slope * 1e6, -MAX_SKEW_PPM, MAX_SKEW_PPM))
