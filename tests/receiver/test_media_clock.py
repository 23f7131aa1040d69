"""One clock: start, presentation delay, sleep, and an hour with a sound card that drifts."""

from __future__ import annotations

import random

import pytest

from receiver.errors import InvalidStateError
from receiver.media_clock import MediaClock


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


@pytest.mark.parametrize("ppm", [-50.0, 50.0, 200.0])
def test_an_hour_with_a_drifting_sound_card_stays_within_2_ms(ppm: float) -> None:
    """The card reports every 100 ms, late by up to 3 ms; its buffer of 80 ms is a constant."""
    clock = MediaClock(presentation_delay_us=100_000)
    clock.start(0)
    rng = random.Random(1)
    worst_ms = 0.0
    reference_ms: float | None = None
    for index in range(36_000):
        now_us = 200_000 + index * 100_000
        card = now_us * 0.048 * (1 + ppm * 1e-6)
        clock.discipline(round(card - 3_840), now_us + rng.randint(0, 3_000))
        offset_ms = (card - clock.position(now_us)) / 48
        if index == 3_000:  # five minutes to settle
            reference_ms = offset_ms
        if reference_ms is not None:
            worst_ms = max(worst_ms, abs(offset_ms - reference_ms))
    assert worst_ms < 2.0
    assert clock.rate_ppm == pytest.approx(ppm, abs=60.0)


def test_interrupted_card_is_taken_up_again() -> None:
    clock = MediaClock(presentation_delay_us=0)
    clock.start(0)
    clock.discipline(0, 0)
    clock.discipline(48_000, 1_000_000)
    clock.discipline(48_000, 6_000_000)  # five seconds of nothing
    assert abs(clock.rate_ppm) <= 1.0
    assert clock.position(6_000_000) == pytest.approx(288_000, rel=1e-4)
