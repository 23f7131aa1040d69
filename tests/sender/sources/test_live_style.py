"""Style from pictures: values in time, pictures passed over when the encoder is slow, a call that survives it all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from sender.errors import DeviceUnavailableError, NoVideoError
from sender.sources.interfaces import VideoFrame
from sender.sources.live_style import READ_AHEAD_TICKS, LiveStyle
from sender.sources.style_timeline import MAX_AGE_TICKS, MAX_VALUES

INTERVAL = 1920


class Pictures:
    """Picture k at k * 1920 ticks, its brightness k modulo 256."""

    is_live = False

    def __init__(self, count: int = 10_000, *, fails_at: int | None = None) -> None:
        self.count = count
        self.fails_at = fails_at
        self.next = 0
        self.num_converted = 0
        self.is_closed = False

    def open(self) -> None:
        if self.count == 0:
            raise NoVideoError("no picture")

    def skip_frame(self) -> int | None:
        if self.next >= self.count:
            return None
        if self.next == self.fails_at:
            raise DeviceUnavailableError("the camera has gone away")
        self.next += 1
        return (self.next - 1) * INTERVAL

    def read_frame(self) -> VideoFrame | None:
        ticks = self.skip_frame()
        if ticks is None:
            return None
        self.num_converted += 1
        return VideoFrame(ticks, np.full((8, 8, 3), self.next - 1 & 255, np.uint8))

    def close(self) -> None:
        self.is_closed = True


class Brightness:
    """A style encoder whose values are the brightness."""

    def __init__(self, *, blind: bool = False, delay: Callable[[], object] = lambda: None, fails: bool = False) -> None:
        self.blind, self.delay, self.fails = blind, delay, fails

    def encode_frame(self, frame: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        self.delay()
        if self.fails:
            raise RuntimeError("weights are broken")
        return None if self.blind else np.full(16, frame[0, 0, 0], np.float32)


def settle(style: LiveStyle, ticks: int, wanted: Callable[[], bool]) -> None:
    """Ask for `ticks` until the worker has done what it will."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        style.values_at(ticks)
        if wanted():
            return
        time.sleep(0.002)
    raise AssertionError(f"never came: {style.stats()}")


def make(pictures: Pictures, encoder: Brightness | None = None) -> LiveStyle:
    style = LiveStyle(pictures, encoder or Brightness(), Fraction(25))
    style.start()
    return style


def test_the_first_packet_has_style_and_the_read_ahead_is_bounded() -> None:
    pictures = Pictures()
    style = make(pictures)
    assert style.values_at(0) is not None
    settle(style, 0, lambda: pictures.next >= READ_AHEAD_TICKS // INTERVAL)
    time.sleep(0.05)
    assert pictures.next <= READ_AHEAD_TICKS // INTERVAL + 2
    style.stop()
    assert pictures.is_closed


def test_values_follow_time_and_are_interpolated_between_pictures() -> None:
    pictures = Pictures()
    style = make(pictures)
    for packet in range(1, 40):
        ticks = packet * 2880
        settle(style, ticks, lambda ticks=ticks: pictures.next * INTERVAL > ticks + INTERVAL)  # type: ignore[misc]
        values = style.values_at(ticks)
        assert values is not None
        assert values[0] == pytest.approx(ticks / INTERVAL, abs=1e-3)
    assert style.stats().frames_skipped == 0
    style.stop()


def test_a_slow_encoder_passes_pictures_over_and_keeps_up() -> None:
    gate = threading.Semaphore(2)
    pictures = Pictures()
    style = LiveStyle(pictures, Brightness(delay=gate.acquire), Fraction(25))
    style.start()
    now = 48_000 * 4  # four seconds pass while the encoder is stuck
    style.values_at(now)
    gate.release(3)
    settle(style, now, lambda: pictures.next > 95)
    gate.release(1000)
    settle(style, now, lambda: style.values_at(now) is not None)
    values = style.values_at(now)
    assert values is not None
    assert values[0] >= 98  # of picture 100, the one of now
    assert style.stats().frames_skipped > 80
    assert pictures.num_converted < 30
    style.stop()


def test_after_the_last_picture_values_are_held_for_a_second() -> None:
    pictures = Pictures(25)
    style = make(pictures)
    settle(style, 48_000, lambda: style.stats().frames_encoded + style.stats().frames_skipped >= 25)
    held = style.values_at(24 * INTERVAL + MAX_AGE_TICKS // 2)
    assert held is not None
    assert held[0] == 24
    assert style.values_at(24 * INTERVAL + MAX_AGE_TICKS + 1) is None
    assert style.stats().failure is None
    style.stop()


def test_a_picture_without_a_face_gives_nothing_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    style = make(Pictures(), Brightness(blind=True))
    for second in range(1, 6):
        settle(style, second * 48_000, lambda s=second: style.stats().frames_without_face > s * 10)  # type: ignore[misc]
        assert style.values_at(second * 48_000) is None
    assert style.stats().failure == "no face in the picture"
    assert caplog.text.count("no face in the first 3 s") == 1
    style.stop()


@pytest.mark.parametrize("kind", ["device", "model"])
def test_what_breaks_ends_style_not_the_call(kind: str) -> None:
    pictures = Pictures(fails_at=5 if kind == "device" else None)
    style = make(pictures, Brightness(fails=kind == "model"))
    settle(style, 48_000, lambda: style.stats().failure is not None)
    reason = style.stats().failure or ""
    assert ("gone away" if kind == "device" else "weights are broken") in reason
    assert style.values_at(48_000 * 10) is None
    style.stop()


def test_no_pictures_at_all_is_said_at_the_start() -> None:
    with pytest.raises(NoVideoError):
        LiveStyle(Pictures(0), Brightness(), Fraction(25)).start()


def test_values_do_not_pile_up() -> None:
    style = make(Pictures())
    for packet in range(1, 400):
        style.values_at(packet * 2880)
    assert len(style._timeline) <= MAX_VALUES
    style.stop()


def test_stop_ends_a_worker_that_waits() -> None:
    style = make(Pictures())
    style.stop()
    assert style._thread is not None
    assert not style._thread.is_alive()
