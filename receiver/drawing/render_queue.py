"""Frames that wait to be drawn: which one is next, which are passed over, and how long drawing takes.

The queue is bounded and drops the oldest: when drawing cannot keep up, frames are skipped and those that are drawn
stay in sync. A frame that could not be shown in time is not drawn at all, unless nothing was drawn for half a second.
Nothing here waits; `render_worker` has the threads that do.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.interfaces import Clock
from receiver.drawing.frame_order import DrawnFrame, FrameOrder
from receiver.drawing.frame_scheduler import FrameJob
from receiver.playout.sample_store import SampleStore
from talkface_core.interfaces import FaceRenderer

logger = logging.getLogger(__name__)

QUEUE_FRAMES = 8
"""0.3 s; drop_oldest."""
STARVING_US = 500_000
"""After this long without a frame one is drawn although it will be late: a face out of step beats a frozen one."""
_FOLLOW = 0.2
"""How fast the usual drawing time follows the last one."""


@dataclass(slots=True)
class RenderCounters:
    drawn: int = 0
    dropped: int = 0
    """Pushed out of the full queue by newer frames."""
    overdue: int = 0
    """Passed over because they could not have been ready in time."""
    failed: int = 0
    """The model raised; the frame was skipped."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A frame that is being drawn."""

    job: FrameJob
    renderer: FaceRenderer
    turn: int
    started_us: int


class RenderQueue:
    """One renderer at a time; every method may be called from any thread."""

    def __init__(
        self,
        renderer: FaceRenderer,
        clock: Clock,
        *,
        show_by_us: Callable[[int], int],
        on_frame: Callable[[DrawnFrame], None],
    ) -> None:
        """Args:
        renderer: warmed up.
        show_by_us: latest local time at which the frame of a playout sample is worth showing.
        on_frame: called on one of the finishing threads at a time with every frame, in order.
        """
        self.counters = RenderCounters()
        self.render_ms = SampleStore()
        self.renderer = renderer
        """What draws the next frame."""
        self._clock = clock
        self._show_by_us = show_by_us
        self._order = FrameOrder(on_frame)
        self._jobs: deque[FrameJob] = deque()
        self._lock = threading.Lock()
        self._usual_us = 0.0
        self._last_drawn_us = clock.now_us()

    def __len__(self) -> int:
        return len(self._jobs)

    def submit(self, job: FrameJob) -> None:
        """Queue a frame; the oldest one gives way when the queue is full."""
        with self._lock:
            if len(self._jobs) >= QUEUE_FRAMES:
                self._jobs.popleft()
                self.counters.dropped += 1
            self._jobs.append(job)

    def use(self, renderer: FaceRenderer) -> None:
        """Draw the next frames with another renderer, warmed up by the caller (another identity)."""
        with self._lock:
            self.renderer = renderer

    def begin(self) -> Drawing | None:
        """The frame to draw now, to be given to `finish` or `fail`; None when there is none."""
        with self._lock:
            while self._jobs:
                now_us = self._clock.now_us()
                is_starving = now_us - self._last_drawn_us > STARVING_US
                job = self._next_job(now_us)
                if is_starving or now_us + self._usual_us <= self._show_by_us(job.samples):
                    return Drawing(job, self.renderer, self._order.begin(), now_us)
                self.counters.overdue += 1
                self._usual_us *= 0.9  # one slow frame must not stop drawing for good
        return None

    def finish(self, drawing: Drawing, image: NDArray[np.uint8]) -> None:
        """[R, R, 3] RGB: it is drawn."""
        job = drawing.job
        with self._lock:
            self._last_drawn_us = self._clock.now_us()
            taken_us = self._last_drawn_us - drawing.started_us
            self._usual_us += _FOLLOW * (taken_us - self._usual_us)
            self.render_ms.add(taken_us / 1000.0)
            self.counters.drawn += 1
        self._order.finish(drawing.turn, DrawnFrame(job.index, job.samples, image))

    def fail(self, drawing: Drawing, error: Exception) -> None:
        """The model or its runtime raised: the frame is skipped."""
        with self._lock:
            self.counters.failed += 1
            is_first = self.counters.failed == 1
        if is_first:
            logger.error("drawing a frame failed; further failures are only counted", exc_info=error)
        self._order.finish(drawing.turn, None)

    def _next_job(self, now_us: int) -> FrameJob:
        """The oldest frame that can be ready in time, at worst the newest of all; holding `_lock`.

        Without this, a renderer that is a little too slow would draw every frame just too late and show none.
        """
        ready_us = now_us + self._usual_us
        while len(self._jobs) > 1 and ready_us > self._show_by_us(self._jobs[0].samples):
            self._jobs.popleft()
            self.counters.overdue += 1
        return self._jobs.popleft()
