"""One clock: start, presentation delay, sleep, a day."""

from __future__ import annotations

import pytest

from receiver.errors import InvalidStateError
from receiver.playout.media_clock import MediaClock


def test_sound_leaves_the_presentation_delay_after_it_was_ready() -> None:
    clock = MediaClock(presentation_delay_us=150_000)
    clock.start(1_000_000)
    assert clock.ready_us(48_000) == 2_000_000
    assert clock.leaves_us(48_000) == 2_150_000
    assert clock.position(2_150_000) == pytest.approx(48_000)
    assert clock.position(1_000_000) == pytest.approx(-7_200)


def test_clock_must_be_started_once() -> None:
    clock = MediaClock(presentation_delay_us=0)
    with pytest.raises(InvalidStateError, match="not started"):
        clock.ready_us(0)
    clock.start(0)
    with pytest.raises(InvalidStateError, match="running"):
        clock.start(0)


def test_sleep_of_the_machine_moves_the_timeline() -> None:
    clock = MediaClock(presentation_delay_us=0)
    clock.start(0)
    clock.shift(5_000_000)
    assert clock.ready_us(48_000) == 6_000_000


def test_a_day_is_exact() -> None:
    clock = MediaClock(presentation_delay_us=0)
    clock.start(0)
    day = 86_400 * 48_000
    assert clock.ready_us(day) == 86_400_000_000
    assert clock.position(86_400_000_000) == pytest.approx(day)
