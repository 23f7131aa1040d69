"""Where sound and frames go: the interface of all sinks, the thread that feeds a slow one, and the callback sink.

A sink sees one timeline: sound by playout sample, frames by playout sample, both from 0. Sinks encode and wait on
devices, so each runs on a thread of its own behind a bounded queue; when a sink is too slow, frames are dropped first
(a file then holds the picture, a window misses one) and sound only when the queue is full of it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from receiver.errors import ReceiverError, SinkUnavailableError

logger = logging.getLogger(__name__)

QUEUE_ITEMS = 512
"""About 6 s of frames and sound; see the module docstring for what gives way."""
CLOSE_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class SinkFormat:
    """What a sink will be given."""

    resolution_px: int
    frame_rate: Fraction
    sample_rate_hz: int = 48_000


class MediaSink(Protocol):
    """Takes the timeline; all methods are called on one thread."""

    def open(self, media_format: SinkFormat) -> None:
        """Get ready. Raises SinkUnavailableError with the reason and the fix."""
        ...

    def write_audio(self, start_samples: int, pcm: NDArray[np.int16]) -> None:
        """[n] int16 mono 48 kHz, to be heard from playout sample `start_samples` on."""
        ...

    def write_frame(self, index: int, samples: int, image: NDArray[np.uint8]) -> None:
        """Frame `index`, [R, R, 3] RGB, to be seen from playout sample `samples` on; indices may skip."""
        ...

    def close(self) -> None:
        """Finish and release; also after an error, and more than once."""
        ...


class CallbackSink:
    """Hands raw frames and sound to functions of the caller, on the sink's thread."""

    def __init__(
        self,
        on_frame: Callable[[int, int, NDArray[np.uint8]], None] | None = None,
        on_audio: Callable[[int, NDArray[np.int16]], None] | None = None,
    ) -> None:
        self._on_frame = on_frame
        self._on_audio = on_audio

    def open(self, media_format: SinkFormat) -> None:
        del media_format

    def write_audio(self, start_samples: int, pcm: NDArray[np.int16]) -> None:
        if self._on_audio is not None:
            self._on_audio(start_samples, pcm)

    def write_frame(self, index: int, samples: int, image: NDArray[np.uint8]) -> None:
        if self._on_frame is not None:
            self._on_frame(index, samples, image)

    def close(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class _Sound:
    start_samples: int
    pcm: NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class _Picture:
    index: int
    samples: int
    image: NDArray[np.uint8]


@dataclass(slots=True)
class SinkCounters:
    dropped_frames: int = 0
    dropped_audio: int = 0


class SinkRunner(Protocol):
    """Feeds one sink beside the event loop: open, write, close. `SinkThread`."""

    counters: SinkCounters

    def open(self, media_format: SinkFormat) -> None:
        """Open the sink; waits for it. Raises SinkUnavailableError when it cannot work here."""
        ...

    def write_audio(self, start_samples: int, pcm: NDArray[np.int16]) -> None:
        """Queue sound; any thread."""
        ...

    def write_frame(self, index: int, samples: int, image: NDArray[np.uint8]) -> None:
        """Queue a frame; any thread."""
        ...

    def close(self) -> None:
        """Write what is queued and close the sink; waits for it. Later calls do nothing."""
        ...


class SinkThread:
    """Runs one sink on a thread: open, write, close. A sink that fails is closed, and the call goes on without it."""

    def __init__(self, sink: MediaSink, on_failure: Callable[[str], None]) -> None:
        """`on_failure` is called on the sink's thread with the reason, at most once."""
        self.counters = SinkCounters()
        self._sink = sink
        self._on_failure = on_failure
        self._queue: deque[_Sound | _Picture] = deque()
        self._wake = threading.Condition()
        self._is_closing = False
        self._opened = threading.Event()
        self._open_error: SinkUnavailableError | None = None
        self._thread: threading.Thread | None = None

    def open(self, media_format: SinkFormat) -> None:
        """Start the thread and open the sink on it.

        Raises:
            SinkUnavailableError: the sink cannot work here.
        """
        self._thread = threading.Thread(target=self._run, args=(media_format,), name="talkface-sink", daemon=True)
        self._thread.start()
        self._opened.wait()
        if self._open_error is not None:
            self._thread.join()
            raise self._open_error

    def write_audio(self, start_samples: int, pcm: NDArray[np.int16]) -> None:
        """Queue sound; any thread."""
        self._put(_Sound(start_samples, pcm))

    def write_frame(self, index: int, samples: int, image: NDArray[np.uint8]) -> None:
        """Queue a frame; any thread."""
        self._put(_Picture(index, samples, image))

    def close(self) -> None:
        """Write what is queued, close the sink and end the thread; waits for it. Later calls do nothing."""
        with self._wake:
            self._is_closing = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join(CLOSE_TIMEOUT_S)

    def _put(self, item: _Sound | _Picture) -> None:
        with self._wake:
            if self._is_closing:
                return
            if len(self._queue) >= QUEUE_ITEMS:
                self._make_room()
            self._queue.append(item)
            self._wake.notify()

    def _make_room(self) -> None:
        for index, item in enumerate(self._queue):
            if isinstance(item, _Picture):
                del self._queue[index]
                self.counters.dropped_frames += 1
                return
        self._queue.popleft()
        self.counters.dropped_audio += 1

    def _run(self, media_format: SinkFormat) -> None:
        self._open_error = self._open_sink(media_format)
        self._opened.set()
        try:
            try:
                if self._open_error is None:
                    self._write_all()
            finally:
                self._sink.close()
        except Exception as error:  # a full disk, a closed window, a device that went away: the call goes on
            is_said = isinstance(error, ReceiverError)
            logger.log(logging.INFO if is_said else logging.ERROR, "a sink failed and was closed", exc_info=True)
            if self._open_error is None:
                self._on_failure(str(error) if is_said else f"{type(self._sink).__name__}: {error}")
            with self._wake:
                self._is_closing = True
                self._queue.clear()

    def _open_sink(self, media_format: SinkFormat) -> SinkUnavailableError | None:
        """Open it; whatever goes wrong there, expected or not, is a sink that cannot be used."""
        try:
            self._sink.open(media_format)
        except SinkUnavailableError as error:
            return error
        except Exception as error:
            unavailable = SinkUnavailableError(f"{type(self._sink).__name__} cannot be opened: {error}")
            unavailable.__cause__ = error
            return unavailable
        return None

    def _write_all(self) -> None:
        while True:
            with self._wake:
                while not self._queue and not self._is_closing:
                    self._wake.wait()
                if not self._queue:
                    return
                item = self._queue.popleft()
            if isinstance(item, _Sound):
                self._sink.write_audio(item.start_samples, item.pcm)
            else:
                self._sink.write_frame(item.index, item.samples, item.image)
