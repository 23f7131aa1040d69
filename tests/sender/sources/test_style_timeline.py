"""Values between pictures, after the last one, and across a stretch without a face."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sender.sources.style_timeline import MAX_AGE_TICKS, MAX_VALUES, StyleTimeline


def of(value: float) -> NDArray[np.float32]:
    return np.full(16, value, np.float32)


def first(timeline: StyleTimeline, ticks: int) -> float | None:
    values = timeline.at(ticks)
    return None if values is None else float(values[0])


def test_between_two_pictures_values_are_interpolated() -> None:
    timeline = StyleTimeline()
    timeline.add(1_000, of(1.0))
    timeline.add(3_000, of(2.0))
    assert [first(timeline, ticks) for ticks in (0, 1_000, 1_500, 3_000, 9_000)] == pytest.approx([1, 1, 1.25, 2, 2])


def test_values_age_and_a_stretch_without_a_face_is_not_bridged() -> None:
    timeline = StyleTimeline()
    assert timeline.at(0) is None
    timeline.add(0, of(1.0))
    timeline.add(3 * MAX_AGE_TICKS, of(9.0))
    assert first(timeline, MAX_AGE_TICKS) == 1.0
    assert first(timeline, MAX_AGE_TICKS + 1) is None
    assert first(timeline, 3 * MAX_AGE_TICKS) == 9.0


def test_the_first_picture_is_not_foretold_by_more_than_its_age() -> None:
    timeline = StyleTimeline()
    timeline.add(2 * MAX_AGE_TICKS, of(1.0))
    assert first(timeline, MAX_AGE_TICKS - 1) is None
    assert first(timeline, MAX_AGE_TICKS) == 1.0


def test_what_is_handed_out_may_be_written_to() -> None:
    timeline = StyleTimeline()
    timeline.add(0, of(1.0))
    values = timeline.at(0)
    assert values is not None
    values[:] = 7.0
    assert first(timeline, 0) == 1.0


def test_the_oldest_give_way() -> None:
    timeline = StyleTimeline()
    for index in range(3 * MAX_VALUES):
        timeline.add(index, of(index))
    assert len(timeline) == MAX_VALUES
