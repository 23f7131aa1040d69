"""The adaptive target in simulated time."""

from __future__ import annotations

import random

import pytest

from receiver.playout.delay import MAX_TARGET_MS, MIN_TARGET_MS, PlayoutDelay

PTIME = 2880
PTIME_US = 60_000


def feed(delay: PlayoutDelay, first: int, count: int, extra_us: float, rng: random.Random | None = None) -> None:
    for index in range(first, first + count):
        jitter = rng.uniform(0, extra_us) if rng else extra_us
        delay.observe(round(index * PTIME_US + jitter), index * PTIME)


def test_clean_path_waits_40_ms() -> None:
    delay = PlayoutDelay()
    feed(delay, 0, 200, 0.0)
    assert delay.target_ms == MIN_TARGET_MS == 40.0
    assert delay.jitter_ms() == 0.0


def test_target_covers_jitter_and_comes_back_within_5_s() -> None:
    delay = PlayoutDelay()
    feed(delay, 0, 200, 80_000.0, random.Random(1))
    assert 80.0 <= delay.target_ms <= 101.0
    feed(delay, 200, 5_000 // 60, 0.0)
    assert delay.target_ms == MIN_TARGET_MS


def test_redundancy_widens_the_target_only_while_packets_are_lost() -> None:
    delay = PlayoutDelay()
    for index in range(100):
        now_us = index * PTIME_US
        delay.note_redundancy(now_us, 60.0)
        if index == 50:
            delay.note_loss(now_us)
        delay.observe(now_us, index * PTIME)
        if index < 50:
            assert delay.target_ms == MIN_TARGET_MS
        elif index < 90:
            assert delay.target_ms == pytest.approx(80.0)
    assert delay.target_ms == MIN_TARGET_MS


def test_one_slow_packet_does_not_move_the_target() -> None:
    delay = PlayoutDelay()
    feed(delay, 0, 100, 0.0)
    delay.observe(100 * PTIME_US + 300_000, 100 * PTIME)
    feed(delay, 101, 10, 0.0)
    assert delay.target_ms == MIN_TARGET_MS


def test_target_is_bounded() -> None:
    delay = PlayoutDelay()
    feed(delay, 0, 200, 5_000_000.0, random.Random(1))
    assert delay.target_ms == MAX_TARGET_MS


def test_a_slower_path_moves_the_base_line_within_its_window() -> None:
    delay = PlayoutDelay()
    feed(delay, 0, 100, 0.0)
    feed(delay, 100, 12_000 // 60, 100_000.0)
    assert delay.base_us(0) == pytest.approx(100_000.0)
    assert delay.target_ms == MIN_TARGET_MS


def test_base_line_needs_a_packet() -> None:
    with pytest.raises(ValueError, match="no packet was observed"):
        PlayoutDelay().base_us(0)
