"""Each frame at its time or not at all, and the skew that results."""

from __future__ import annotations

import numpy as np
import pytest

from receiver.drawing.frame_order import DrawnFrame
from receiver.drawing.frame_presenter import MAX_WAITING_FRAMES, FramePresenter
from receiver.playout.media_clock import MediaClock

FRAME_US = 40_000


@pytest.fixture
def presenter() -> FramePresenter:
    clock = MediaClock(presentation_delay_us=100_000)
    clock.start(0)
    return FramePresenter(clock, FRAME_US)


def frame(index: int) -> DrawnFrame:
    return DrawnFrame(index, index * 1_920, np.zeros((2, 2, 3), dtype=np.uint8))


def test_frame_waits_for_its_sound(presenter: FramePresenter) -> None:
    presenter.add(frame(1))
    assert presenter.next_due_us == 140_000
    assert presenter.take(139_999) is None
    assert presenter.first_shown_us is None
    shown = presenter.take(140_000)
    assert shown is not None
    assert shown.index == 1
    assert presenter.skew_ms.percentiles(1.0)[0] == pytest.approx(0.0, abs=0.1)


def test_first_frame_shown_is_remembered(presenter: FramePresenter) -> None:
    for index in (1, 2):
        presenter.add(frame(index))
        assert presenter.take(100_000 + index * FRAME_US) is not None
    assert presenter.first_shown_us == 140_000


def test_late_frame_is_shown_with_its_skew(presenter: FramePresenter) -> None:
    presenter.add(frame(0))
    assert presenter.take(125_000) is not None
    assert presenter.max_skew_ms == pytest.approx(25.0)


def test_frame_more_than_a_frame_late_is_not_shown(presenter: FramePresenter) -> None:
    presenter.add(frame(0))
    presenter.take(100_000)
    presenter.add(frame(1))
    assert presenter.take(180_001) is None
    assert presenter.counters.too_late == 1
    assert presenter.skew_ms.count == 1


def test_late_frame_is_shown_when_there_was_none_for_long(presenter: FramePresenter) -> None:
    presenter.add(frame(0))
    assert presenter.take(300_000) is not None  # the first of the call
    presenter.add(frame(5))
    assert presenter.take(600_000) is None
    presenter.add(frame(6))
    assert presenter.take(801_000) is not None
    assert presenter.max_skew_ms == pytest.approx(461.0)


def test_of_two_due_frames_the_newer_is_shown(presenter: FramePresenter) -> None:
    presenter.add(frame(0))
    presenter.add(frame(1))
    shown = presenter.take(141_000)
    assert shown is not None
    assert shown.index == 1
    assert (presenter.counters.shown, presenter.counters.superseded) == (1, 1)


def test_waiting_frames_are_bounded(presenter: FramePresenter) -> None:
    for index in range(100):
        presenter.add(frame(index))
    assert len(presenter._waiting) == MAX_WAITING_FRAMES
