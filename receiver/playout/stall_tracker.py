"""The longest stretch in which nothing was played or shown that deserves the name.

A hole in the sound counts as concealed for `MAX_CONCEALED_MS`; by then libopus has faded to noise (measured on
speech at 8 kbps, median after 20, 40, ... ms: -1, -4, -8, -16, -26, -38 dB) and the rest of the hole is a stall.
Only missing packets make a hole: when the sender was silent (its gate closed and the packet that says so was lost)
the sequence numbers of the next packet show it, so the verdict falls when a hole ends.
"""

from __future__ import annotations

MAX_CONCEALED_MS = 120.0
PENDING_LIMIT_MS = 1_500.0
"""A hole that is open for longer than any pause between a sender's comfort-noise packets counts while it lasts."""


class SoundStallTracker:
    """Follows holes in the sound."""

    def __init__(self) -> None:
        self._longest_ms = 0.0
        self._hole_ms = 0.0

    @property
    def hole_ms(self) -> float:
        """Length of the hole that is open now."""
        return self._hole_ms

    @property
    def longest_ms(self) -> float:
        pending = self._hole_ms - MAX_CONCEALED_MS if self._hole_ms > PENDING_LIMIT_MS else 0.0
        return max(self._longest_ms, pending)

    def fill(self, duration_ms: float) -> bool:
        """A piece without received or repaired sound; True while it still counts as concealed."""
        self._hole_ms += duration_ms
        return self._hole_ms <= MAX_CONCEALED_MS

    def end_hole(self, missing_ms: float) -> None:
        """Sound is back; `missing_ms` of sound had been sent and did not come in time."""
        self._longest_ms = max(self._longest_ms, min(self._hole_ms, missing_ms) - MAX_CONCEALED_MS)
        self._hole_ms = 0.0


class PictureStallTracker:
    """Follows the times at which new frames are shown."""

    def __init__(self, frame_us: float) -> None:
        self._frame_us = frame_us
        self._last_us: int | None = None
        self.longest_ms = 0.0

    def shown(self, now_us: int) -> None:
        """A new frame is shown. Up to one and a half frame times between two is the ordinary pace, not a stall."""
        if self._last_us is not None and now_us - self._last_us > 1.5 * self._frame_us:
            self.longest_ms = max(self.longest_ms, (now_us - self._last_us) / 1000.0)
        self._last_us = now_us
