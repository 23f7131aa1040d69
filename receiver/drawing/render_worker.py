"""Draws frames beside the event loop, on as many threads as the renderer draws frames at once; inference releases the
interpreter lock. Which frame is drawn, and which is not, is decided by `render_queue`.
"""

from __future__ import annotations

import threading
from typing import Protocol

from receiver.drawing.frame_scheduler import FrameJob
from receiver.drawing.render_queue import RenderQueue
from receiver.errors import InvalidStateError

JOIN_TIMEOUT_S = 10.0


class FrameWorker(Protocol):
    """Draws what waits in a queue, beside the event loop."""

    def start(self) -> None:
        """Begin; the renderer must have been warmed up. Once only."""
        ...

    def submit(self, job: FrameJob) -> None:
        """Queue a frame; any thread."""
        ...

    def stop(self) -> None:
        """End after the frames that are being drawn; what is queued is dropped. Later calls do nothing."""
        ...


class RenderWorker:
    """A `FrameWorker` on threads."""

    def __init__(self, queue: RenderQueue) -> None:
        self._queue = queue
        self._wake = threading.Condition()
        self._is_stopping = False
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start the threads; the renderer must have been warmed up.

        Raises:
            InvalidStateError: it was started before.
        """
        if self._threads:
            raise InvalidStateError("render worker: started twice")
        for number in range(self._queue.renderer.frames_at_once):
            thread = threading.Thread(target=self._run, name=f"talkface-render-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def submit(self, job: FrameJob) -> None:
        """Queue a frame; any thread."""
        self._queue.submit(job)
        with self._wake:
            self._wake.notify()

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
                while not len(self._queue) and not self._is_stopping:
                    self._wake.wait()
                if self._is_stopping:
                    return
            self._draw_next()

    def _draw_next(self) -> None:
        drawing = self._queue.begin()
        if drawing is None:  # another thread took it, or it could not be ready in time
            return
        try:
            image = drawing.renderer.render(drawing.job.audio, drawing.job.style)
        except Exception as error:  # whatever a model or its runtime raises must not end the call: the sound goes on
            self._queue.fail(drawing, error)
        else:
            self._queue.finish(drawing, image)
