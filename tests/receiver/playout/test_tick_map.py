"""Where a sample of the playout signal came from."""

from __future__ import annotations

import pytest

from receiver.playout.tick_map import TickMap


def test_pieces_are_mapped_linearly() -> None:
    ticks = TickMap()
    ticks.append(0, 960, 10_000, 960)
    ticks.append(960, 480, 10_960, 960)  # shortened to half
    ticks.append(1_440, 960, 20_000, 0)  # waiting: time of the sender stands still
    assert ticks.ticks_at(480) == pytest.approx(10_480)
    assert ticks.ticks_at(1_200) == pytest.approx(11_440)
    assert ticks.ticks_at(2_000) == pytest.approx(20_000)


def test_beyond_the_ends_time_goes_on() -> None:
    ticks = TickMap()
    ticks.append(0, 960, 10_000, 960)
    assert ticks.ticks_at(1_060) == pytest.approx(11_060)
    assert ticks.ticks_at(-100) == pytest.approx(9_900)


def test_empty_map_knows_nothing_and_ignores_empty_pieces() -> None:
    ticks = TickMap()
    ticks.append(0, 0, 5, 5)
    assert ticks.ticks_at(0) is None


def test_memory_is_bounded() -> None:
    ticks = TickMap(max_pieces=4)
    for index in range(100):
        ticks.append(index * 10, 10, index * 10, 10)
    assert ticks.ticks_at(995) == pytest.approx(995)
    assert len(ticks._pieces) == 4
