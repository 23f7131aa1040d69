"""The timer: turns, warm-up and ratios, on a clock that the cases move themselves."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from benchmarks.measurement import Unit, measured
from benchmarks.timer import Case, take_turns, timed_ms


class MovingClock:
    """Time goes on only in calls."""

    def __init__(self) -> None:
        self.now_ns = 10

    def __call__(self) -> int:
        return self.now_ns


def test_a_sample_is_the_time_of_the_call() -> None:
    clock = MovingClock()

    def call() -> None:
        clock.now_ns += 2_500_000

    assert timed_ms(call, clock)() == 2.5


def test_percentiles_are_those_of_numpy() -> None:
    clock = MovingClock()
    times_ns = np.random.default_rng(0).integers(1_000_000, 9_000_000, 40).tolist()
    steps = iter(times_ns)

    def call() -> None:
        clock.now_ns += next(steps)

    (timing,) = take_turns([Case(timed_ms(call, clock))], rounds=8, calls=5, warm_up=0)
    found = measured("a call", timing.samples, Unit.MILLISECONDS)
    assert timing.samples == tuple(ns / 1e6 for ns in times_ns)
    assert found.count == 40
    assert found.median == pytest.approx(np.percentile(times_ns, 50) / 1e6, rel=1e-3)
    assert found.p95 == pytest.approx(np.percentile(times_ns, 95) / 1e6, rel=1e-3)


def test_cases_take_turns_and_every_other_round_goes_backwards() -> None:
    order: list[str] = []

    def case(name: str) -> Case:
        def sample() -> float:
            order.append(name)
            return 1.0

        return Case(sample, before_turn=lambda: order.append("|"))

    take_turns([case("a"), case("b")], rounds=3, calls=2, warm_up=0)
    assert "".join(order) == "|aa|bb|bb|aa|aa|bb"


def test_warming_up_is_not_counted() -> None:
    values = itertools.cycle([100.0, 1.0, 2.0])  # the first call of each turn is slow
    (timing,) = take_turns([Case(lambda: next(values))], rounds=4, calls=2, warm_up=1)
    assert timing.samples == (1.0, 2.0) * 4


def test_ratio_is_taken_within_rounds() -> None:
    """A machine that is three times slower in every other round changes the times and not the ratio."""
    slow = itertools.cycle([1.0] * 6 + [3.0] * 6)

    def case(cost: float) -> Case:
        return Case(lambda: cost * next(slow))

    first, second = take_turns([case(2.0), case(5.0)], rounds=6, calls=3, warm_up=0)
    assert first.ratio == 1.0
    assert second.ratio == 2.5
    assert set(second.samples) == {5.0, 15.0}
