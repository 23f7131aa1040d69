"""Media time between two marks."""

from __future__ import annotations

from typing import Any

from sender.media_time import MediaTime


def test_time_runs_on_from_the_last_mark_but_not_for_ever(clock: Any) -> None:
    media_time = MediaTime(clock)
    assert media_time.now_ticks() == 0
    media_time.mark(2880)
    clock.time_us += 10_000
    assert media_time.now_ticks() == 2880 + 480
    clock.time_us += 10_000_000
    assert media_time.now_ticks() == 2880 + 48_000
