"""What a measurement says of its samples."""

from __future__ import annotations

import pytest

from benchmarks.measurement import Unit, measured


def test_less_is_better_for_times_and_more_for_rates() -> None:
    values = [float(value) for value in range(101)]
    assert measured("t", values, Unit.SECONDS).p95 == 95.0
    assert measured("r", values, Unit.PACKETS_PER_SECOND).p95 == 5.0
    assert measured("d", values, Unit.DECIBELS).p95 == 5.0


def test_numbers_are_rounded_to_what_repeats() -> None:
    found = measured("t", [1.23456789], Unit.SECONDS, {"threads": 2}, ratio=0.333333333)
    assert (found.median, found.p95, found.ratio, found.count) == (1.235, 1.235, 0.3333, 1)
    assert found.parameters == {"threads": "2"}


def test_nothing_sampled_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="frames: no samples"):
        measured("frames", [], Unit.SECONDS)
