"""How long a packet should wait before it is played: measured in milliseconds above the fastest recent packet.

The base line is the least `arrival - timestamp` of the last 10 s (turned by the clock skew); a packet's delay is its
distance above that line. The target is what 95 % of the packets of the last 3 s needed, plus a margin, and at least
`MIN_TARGET_MS`; while packets are being lost and the sender sends redundancy it also covers one packet time, so that
the repair comes in time. Both windows are short on purpose: 5 s after trouble ends the target is back.
"""

from __future__ import annotations

from collections import deque

from protocol.rtp_time import TICKS_PER_MS
from receiver.playout.clock_skew import ClockSkewEstimator

MIN_TARGET_MS = 40.0
"""Clean path: sound is ready 40 ms after its packet came."""
MAX_TARGET_MS = 500.0
JITTER_MARGIN_MS = 20.0
JITTER_WINDOW_US = 3_000_000
JITTER_QUANTILE = 0.95
BASE_WINDOW_US = 10_000_000
LOSS_MEMORY_US = 2_500_000
"""Redundancy widens the target while the last loss is younger than this."""
SHRINK_STEP_MS = 5.0
"""The target moves down only by at least this much, so that it does not tremble."""
_BASE_BUCKET_US = 250_000
_MAX_OFFSETS = 512


def ticks_to_us(ticks: float) -> float:
    """48 kHz ticks as microseconds."""
    return ticks * 1000.0 / TICKS_PER_MS


class PlayoutDelay:
    """Base line, jitter and target of one stream; time comes in with the packets."""

    def __init__(self) -> None:
        self.skew = ClockSkewEstimator()
        self.target_ms = MIN_TARGET_MS
        self._offsets: deque[tuple[int, float, float]] = deque(maxlen=_MAX_OFFSETS)  # arrival, media time, offset
        self._base_buckets: deque[tuple[int, float, float]] = deque()  # bucket, media time, least offset
        # With slope s = skew, a packet's level is offset + s·(media time): constant for packets of equal delay.
        self._base_level: float | None = None
        self._base_slope = 0.0
        self._redundant_us: int | None = None
        self._redundant_ptime_ms = 0.0
        self._lost_us: int | None = None

    def observe(self, arrival_us: int, start_ticks: int) -> None:
        """Take the timing of one packet (not of a repair)."""
        media_us = ticks_to_us(start_ticks)
        offset = arrival_us - media_us
        self.skew.observe(int(media_us), offset)
        self._offsets.append((arrival_us, media_us, offset))
        self._lower_base(arrival_us // _BASE_BUCKET_US, media_us, offset)
        self._update_target(arrival_us)

    def note_redundancy(self, now_us: int, packet_ms: float) -> None:
        """The stream carries the previous packet in each packet."""
        self._redundant_us, self._redundant_ptime_ms = now_us, packet_ms

    def note_loss(self, now_us: int) -> None:
        """A packet was missing."""
        self._lost_us = now_us

    def reset(self) -> None:
        """Forget the timing of the stream (restart, outage); the skew of the clocks stays."""
        self._offsets.clear()
        self._base_buckets.clear()
        self._base_level = None
        self.skew.reset()
        self.target_ms = MIN_TARGET_MS
        self._lost_us = None

    def base_us(self, ticks: float) -> float:
        """Local time at which the fastest recent packet would have brought `ticks`."""
        if self._base_level is None:
            raise ValueError("playout delay: no packet was observed yet")
        media_us = ticks_to_us(ticks)
        return media_us + self._base_level - self._base_slope * media_us

    def jitter_ms(self) -> float:
        """What 95 % of the packets of the last 3 s came late by, relative to the fastest."""
        if self._base_level is None:
            return 0.0
        newest_us = self._offsets[-1][0]
        levels = sorted(
            offset + self._base_slope * media_us
            for arrival_us, media_us, offset in self._offsets
            if newest_us - arrival_us <= JITTER_WINDOW_US
        )
        rank = min(len(levels) - 1, int(JITTER_QUANTILE * len(levels)))
        return max(0.0, (levels[rank] - self._base_level) / 1000.0)

    def _lower_base(self, bucket: int, media_us: float, offset: float) -> None:
        """Take one packet into the sliding minimum."""
        buckets = self._base_buckets
        if not buckets or buckets[-1][0] < bucket:
            buckets.append((bucket, media_us, offset))
        elif offset < buckets[-1][2]:
            buckets[-1] = (buckets[-1][0], media_us, offset)
        has_expired = False
        while buckets[0][0] < bucket - BASE_WINDOW_US // _BASE_BUCKET_US:
            buckets.popleft()
            has_expired = True
        slope = self.skew.ppm * 1e-6
        level = offset + slope * media_us
        if self._base_level is None or has_expired or slope != self._base_slope:
            self._base_slope = slope
            self._base_level = min(offset + slope * at_us for _, at_us, offset in buckets)
        else:
            self._base_level = min(self._base_level, level)

    def _update_target(self, now_us: int) -> None:
        wanted = self.jitter_ms() + JITTER_MARGIN_MS
        is_redundant = self._redundant_us is not None and now_us - self._redundant_us < LOSS_MEMORY_US
        is_losing = self._lost_us is not None and now_us - self._lost_us < LOSS_MEMORY_US
        if is_redundant and is_losing:
            wanted += self._redundant_ptime_ms
        wanted = min(max(wanted, MIN_TARGET_MS), MAX_TARGET_MS)
        if wanted > self.target_ms or wanted <= self.target_ms - SHRINK_STEP_MS or wanted == MIN_TARGET_MS:
            self.target_ms = wanted
