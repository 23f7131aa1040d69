"""The thread around a sink: order, drops, failures, close."""

from __future__ import annotations

import threading
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from receiver.errors import SinkUnavailableError
from receiver.sinks.sink import QUEUE_ITEMS, CallbackSink, SinkFormat, SinkThread

FORMAT = SinkFormat(64, Fraction(25))
PCM = np.zeros(10, dtype=np.int16)
IMAGE = np.zeros((4, 4, 3), dtype=np.uint8)


class Slow:
    """Writes when it is let."""

    def __init__(self, error: Exception | None = None, open_error: Exception | None = None) -> None:
        self.gate = threading.Event()
        self.written: list[tuple[str, int]] = []
        self.num_closed = 0
        self._error = error
        self._open_error = open_error

    def open(self, media_format: SinkFormat) -> None:
        if self._open_error is not None:
            raise self._open_error

    def write_audio(self, start_samples: int, pcm: Any) -> None:
        assert self.gate.wait(10)
        self.written.append(("audio", start_samples))

    def write_frame(self, index: int, samples: int, image: Any) -> None:
        assert self.gate.wait(10)
        if self._error is not None:
            raise self._error
        self.written.append(("frame", index))

    def close(self) -> None:
        self.num_closed += 1


def test_everything_queued_is_written_before_the_close() -> None:
    sink = Slow()
    thread = SinkThread(sink, on_failure=pytest.fail)
    thread.open(FORMAT)
    for index in range(5):
        thread.write_audio(index * 10, PCM)
        thread.write_frame(index, index * 10, IMAGE)
    sink.gate.set()
    thread.close()
    thread.close()
    assert sink.written == [item for i in range(5) for item in (("audio", i * 10), ("frame", i))]
    assert sink.num_closed == 1


def test_slow_sink_loses_frames_before_sound() -> None:
    sink = Slow()
    thread = SinkThread(sink, on_failure=pytest.fail)
    thread.open(FORMAT)
    for index in range(QUEUE_ITEMS):
        thread.write_frame(index, 0, IMAGE)
        thread.write_audio(index, PCM)
    assert thread.counters.dropped_frames >= QUEUE_ITEMS - 2
    assert thread.counters.dropped_audio <= 2
    sink.gate.set()
    thread.close()


def test_failing_sink_is_closed_and_reported_once() -> None:
    failures: list[str] = []
    sink = Slow(error=OSError("disk full"))
    thread = SinkThread(sink, on_failure=failures.append)
    thread.open(FORMAT)
    sink.gate.set()
    for index in range(10):
        thread.write_frame(index, 0, IMAGE)
    thread.close()
    thread.write_frame(11, 0, IMAGE)
    assert failures == ["Slow: disk full"]
    assert sink.num_closed == 1


def test_sink_that_cannot_finish_is_reported() -> None:
    class FullDisk(CallbackSink):
        def close(self) -> None:
            raise OSError("disk full")

    failures: list[str] = []
    thread = SinkThread(FullDisk(), on_failure=failures.append)
    thread.open(FORMAT)
    thread.close()
    assert failures == ["FullDisk: disk full"]


def test_sink_that_cannot_work_says_so_at_once() -> None:
    sink = Slow(open_error=SinkUnavailableError("no display"))
    thread = SinkThread(sink, on_failure=pytest.fail)
    with pytest.raises(SinkUnavailableError, match=r"^no display$"):
        thread.open(FORMAT)
    thread.close()
    assert sink.num_closed == 1


def test_unexpected_error_while_opening_is_no_open_sink() -> None:
    sink = Slow(open_error=RuntimeError("a driver lost its mind"))
    thread = SinkThread(sink, on_failure=pytest.fail)
    with pytest.raises(SinkUnavailableError, match="Slow cannot be opened: a driver lost its mind") as caught:
        thread.open(FORMAT)
    assert isinstance(caught.value.__cause__, RuntimeError)
    thread.close()
    assert sink.num_closed == 1
    assert not [thread for thread in threading.enumerate() if thread.name == "talkface-sink"]


def test_callbacks_get_frames_and_sound() -> None:
    frames: list[int] = []
    sounds: list[int] = []
    sink = CallbackSink(lambda index, samples, image: frames.append(index), lambda start, pcm: sounds.append(start))
    thread = SinkThread(sink, on_failure=pytest.fail)
    thread.open(FORMAT)
    thread.write_frame(3, 5_760, IMAGE)
    thread.write_audio(960, PCM)
    thread.close()
    assert (frames, sounds) == ([3], [960])
