"""Skew found through jitter, and not found where there is none."""

from __future__ import annotations

import random

import pytest

from receiver.playout.audio_playout import correction_ppm
from receiver.playout.clock_skew import MAX_SKEW_PPM, ClockSkewEstimator
from receiver.playout.delay import PlayoutDelay


def simulate(estimator: ClockSkewEstimator, ppm: float, seconds: int, jitter_us: float, seed: int = 1) -> None:
    rng = random.Random(seed)
    for index in range(seconds * 1000 // 60):
        media_us = index * 60_000
        arrival_us = media_us * (1 - ppm * 1e-6) + rng.expovariate(1 / jitter_us)
        estimator.observe(media_us, arrival_us - media_us)


@pytest.mark.parametrize("ppm", [-400.0, -100.0, -50.0, 0.0, 50.0, 100.0])
def test_skew_is_found_within_5_ppm_in_five_minutes_of_jitter(ppm: float) -> None:
    estimator = ClockSkewEstimator()
    simulate(estimator, ppm, 300, jitter_us=10_000)
    assert estimator.ppm == pytest.approx(ppm, abs=5.0)


def test_nothing_is_claimed_before_there_is_a_base() -> None:
    estimator = ClockSkewEstimator()
    simulate(estimator, 100.0, 30, jitter_us=1_000)
    assert estimator.ppm == 0.0


def test_a_step_of_the_path_is_not_taken_for_skew() -> None:
    estimator = ClockSkewEstimator()
    for index in range(10_000):
        media_us = index * 60_000
        estimator.observe(media_us, 0.0 if index < 5_000 else 80_000.0)
    assert abs(estimator.ppm) < 1.0


def test_estimate_is_bounded() -> None:
    estimator = ClockSkewEstimator()
    simulate(estimator, 3_000.0, 300, jitter_us=100)
    assert estimator.ppm <= MAX_SKEW_PPM


def test_reset_keeps_the_skew_of_the_crystals() -> None:
    estimator = ClockSkewEstimator()
    simulate(estimator, 100.0, 120, jitter_us=100)
    before = estimator.ppm
    estimator.reset()
    estimator.observe(0, 9e9)
    assert estimator.ppm == before != 0.0


@pytest.mark.parametrize("ppm", [-100.0, -50.0, 50.0, 100.0])
def test_an_hour_stays_within_5_ms_of_the_target(ppm: float) -> None:
    """The control loop of playout, one packet in ten looked at; left alone, 100 ppm would be 360 ms."""
    delay, rng = PlayoutDelay(), random.Random(1)
    applied_ms = 0.0  # how far playing faster than recorded has moved the signal
    for index in range(6_000):
        media_us = index * 600_000
        arrival_us = media_us * (1 - ppm * 1e-6) + rng.expovariate(1 / 3_000)
        delay.observe(round(arrival_us), index * 28_800)
        ready_us = media_us - applied_ms * 1000 + 40_000
        excess_ms = (ready_us - delay.base_us(index * 28_800)) / 1000 - 40.0
        applied_ms += 600 * correction_ppm(delay.skew.ppm, excess_ms) * 1e-6
        assert abs(excess_ms) < 8.0
        assert index < 200 or abs(excess_ms) < 5.0
