"""Draws frames beside the event loop, on as many threads as the renderer draws frames at once; inference releases the
interpreter lock.

The queue is bounded and drops the oldest: when drawing cannot keep up, frames are skipped and those that are drawn
stay in sync. A frame that could not be shown in time is not drawn at all, unless nothing was drawn for half a second.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from protocol.interfaces import Clock
from receiver.drawing.frame_order import DrawnFrame, FrameOrder
from receiver.drawing.frame_scheduler import FrameJob
from receiver.errors import InvalidStateError
from receiver.playout.sample_store import SampleStore
from talkface_core.interfaces import FaceRenderer

logger = logging.getLogger(__name__)

QUEUE_FRAMES = 8
"""0.3 s; drop_oldest."""
JOIN_TIMEOUT_S = 10.0
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


class RenderWorker:
    """One renderer at a time; `submit` and `use` may be called from any thread."""

    def __init__(
        self,
        renderer: FaceRenderer,
        clock: Clock,
        *,
        show_by_us: Callable[[int], int],
        on_frame: Callable[[DrawnFrame], None],
    ) -> None:
        """Args:
        show_by_us: latest local time at which the frame of a playout sample is worth showing.
        on_frame: called on one of the worker's threads at a time with every frame, in order.
        """
        self.counters = RenderCounters()
        self.render_ms = SampleStore()
        self._renderer = renderer
        self._clock = clock
        self._show_by_us = show_by_us
        self._order = FrameOrder(on_frame)
        self._jobs: deque[FrameJob] = deque()
        self._wake = threading.Condition()
        self._usual_us = 0.0
        self._last_drawn_us = clock.now_us()
        self._is_stopping = False
        self._threads: list[threading.Thread] = []

    @property
    def runtime(self) -> str:
        """What draws at present, for reports."""
        return self._renderer.runtime

    def start(self) -> None:
        """Start the threads; the renderer must have been warmed up.

        Raises:
            InvalidStateError: it was started before.
        """
        if self._threads:
            raise InvalidStateError("render worker: started twice")
        for number in range(self._renderer.frames_at_once):
            thread = threading.Thread(target=self._run, name=f"talkface-render-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def submit(self, job: FrameJob) -> None:
        """Queue a frame; the oldest one gives way when the queue is full."""
        with self._wake:
            if len(self._jobs) >= QUEUE_FRAMES:
                self._jobs.popleft()
                self.counters.dropped += 1
            self._jobs.append(job)
            self._wake.notify()

    def use(self, renderer: FaceRenderer) -> None:
        """Draw the next frames with another renderer, warmed up by the caller (another identity)."""
        with self._wake:
            self._renderer = renderer

    def stop(self) -> None:
        """End the threads after the frames that they draw; what is queued is dropped. Later calls do nothing."""
        with self._wake:
            self._is_stopping = True
            self._wake.notify_all()
        for thread in self._threads:
            thread.join(JOIN_TIMEOUT_S)

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._jobs and not self._is_stopping:
                    self._wake.wait()
                if self._is_stopping:
                    return
                is_starving = self._clock.now_us() - self._last_drawn_us > STARVING_US
                job, renderer = self._next_job(), self._renderer
                turn = self._order.begin()
            self._order.finish(turn, self._draw(job, renderer, is_starving=is_starving))

    def _next_job(self) -> FrameJob:
        """The oldest frame that can be ready in time, at worst the newest of all; holding `_wake`.

        Without this, a renderer that is a little too slow would draw every frame just too late and show none.
        """
        ready_us = self._clock.now_us() + self._usual_us
        while len(self._jobs) > 1 and ready_us > self._show_by_us(self._jobs[0].samples):
            self._jobs.popleft()
            self.counters.overdue += 1
        return self._jobs.popleft()

    def _draw(self, job: FrameJob, renderer: FaceRenderer, *, is_starving: bool) -> DrawnFrame | None:
        started_us = self._clock.now_us()
        if not is_starving and started_us + self._usual_us > self._show_by_us(job.samples):
            with self._wake:
                self.counters.overdue += 1
                self._usual_us *= 0.9  # one slow frame must not stop drawing for good
            return None
        try:
            image = renderer.render(job.audio, job.style)
        except Exception:  # whatever a model or its runtime raises must not end the call: the sound goes on
            with self._wake:
                self.counters.failed += 1
                is_first = self.counters.failed == 1
            if is_first:
                logger.exception("drawing a frame failed; further failures are only counted")
            return None
        with self._wake:
            self._last_drawn_us = self._clock.now_us()
            taken_us = self._last_drawn_us - started_us
            self._usual_us += _FOLLOW * (taken_us - self._usual_us)
            self.render_ms.add(taken_us / 1000.0)
            self.counters.drawn += 1
        return DrawnFrame(job.index, job.samples, image)
