"""Frames at exact times, each once."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from receiver.drawing.audio_window import AudioWindow
from receiver.drawing.frame_scheduler import FrameScheduler
from receiver.drawing.style_concealment import StyleConcealment
from receiver.drawing.style_receiver import TimedStyle
from receiver.playout.tick_map import TickMap


def make(frame_rate: Fraction) -> tuple[FrameScheduler, AudioWindow, StyleConcealment, TickMap]:
    window = AudioWindow(sample_rate_hz=16_000, past_samples=1_600, lookahead_samples=800)
    styles, ticks = StyleConcealment(), TickMap()
    return FrameScheduler(frame_rate, window, styles, ticks), window, styles, ticks


@pytest.mark.parametrize("frame_rate", [Fraction(25), Fraction(30_000, 1_001), Fraction(24)])
def test_times_are_rounded_once_and_never_drift(frame_rate: Fraction) -> None:
    scheduler = make(frame_rate)[0]
    hour = int(3_600 * frame_rate)
    assert abs(scheduler.samples_of(hour) - hour * 48_000 / frame_rate) <= 0.5
    for index in (0, 1, 7, hour):
        assert scheduler.frames_before(scheduler.samples_of(index) + 2) == index + 1
    assert scheduler.frames_before(0) == 0


def test_each_frame_comes_once_when_its_sound_is_there() -> None:
    scheduler, window, _, _ = make(Fraction(25))
    indices = []
    for _ in range(100):
        window.push(np.zeros(480, dtype=np.int16))
        indices += [job.index for job in scheduler.take_jobs()]
    assert indices == list(range(len(indices)))
    assert len(indices) == pytest.approx((48_000 - window.lookahead_us * 0.048) / 1_920, abs=1)


def test_style_is_looked_up_in_the_senders_time() -> None:
    """The sender is 10 000 ticks ahead and its sound is played at half speed."""
    scheduler, window, styles, ticks = make(Fraction(25))
    ticks.append(0, 48_000, 10_000, 24_000)
    styles.add(TimedStyle(10_000, np.zeros(16, dtype=np.float32)))
    styles.add(TimedStyle(34_000, np.ones(16, dtype=np.float32)))
    window.push(np.zeros(48_000, dtype=np.int16))
    for job in scheduler.take_jobs():
        assert job.style is not None
        assert job.style[0] == pytest.approx(job.samples / 48_000, abs=1e-3)
