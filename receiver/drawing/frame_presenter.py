"""Shows each frame when the sound of its time leaves; measures how well that went.

A frame that is more than one frame time late is not shown, unless none was for half a second: better late than frozen.

Skew is the shown frame's media time minus the position of the sound that leaves at that moment, in milliseconds:
negative when the picture is behind.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from receiver.drawing.frame_order import DrawnFrame
from receiver.drawing.render_queue import STARVING_US
from receiver.playout.media_clock import MediaClock
from receiver.playout.sample_store import SampleStore
from receiver.playout.stall_tracker import PictureStallTracker

MAX_WAITING_FRAMES = 32


@dataclass(slots=True)
class PresenterCounters:
    shown: int = 0
    too_late: int = 0
    """Drawn, but more than one frame time behind the sound."""
    superseded: int = 0
    """A newer frame was due at the same moment."""


class FramePresenter:
    """Holds drawn frames until their time; time is an argument."""

    def __init__(self, clock: MediaClock, frame_us: float) -> None:
        self.counters = PresenterCounters()
        self.skew_ms = SampleStore()
        """Absolute values."""
        self.max_skew_ms = 0.0
        self.num_slots = 0
        """Frame slots up to the newest frame shown, those without a frame included."""
        self.stalls = PictureStallTracker(frame_us)
        self._clock = clock
        self._frame_us = frame_us
        self.first_shown_us: int | None = None
        self._last_shown_us: int | None = None
        self._waiting: deque[DrawnFrame] = deque(maxlen=MAX_WAITING_FRAMES)

    @property
    def next_due_us(self) -> int | None:
        """When the next frame that waits is to be shown."""
        return self._clock.leaves_us(self._waiting[0].samples) if self._waiting else None

    def show_by_us(self, samples: int) -> int:
        """Latest time at which the frame of this sample is still shown: one frame time late."""
        return self._clock.leaves_us(samples) + int(self._frame_us)

    def add(self, frame: DrawnFrame) -> None:
        """A drawn frame, in order of index; the oldest gives way when too many wait."""
        self._waiting.append(frame)

    def take(self, now_us: int) -> DrawnFrame | None:
        """The frame to show now, or None. Call it again when `next_due_us` has come."""
        shown: DrawnFrame | None = None
        while self._waiting and self._clock.leaves_us(self._waiting[0].samples) <= now_us:
            if shown is not None:
                self.counters.superseded += 1
            shown = self._waiting.popleft()
        if shown is None:
            return None
        is_starving = self._last_shown_us is None or now_us - self._last_shown_us > STARVING_US
        if now_us > self.show_by_us(shown.samples) and not is_starving:
            self.counters.too_late += 1
            return None
        self._last_shown_us = now_us
        if self.first_shown_us is None:
            self.first_shown_us = now_us
        self.counters.shown += 1
        self.num_slots = max(self.num_slots, shown.index + 1)
        skew_ms = abs(shown.samples - self._clock.position(now_us)) / 48.0
        self.skew_ms.add(skew_ms)
        self.max_skew_ms = max(self.max_skew_ms, skew_ms)
        self.stalls.shown(now_us)
        return shown
