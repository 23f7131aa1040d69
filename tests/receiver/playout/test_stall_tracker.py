"""What counts as a stall."""

from __future__ import annotations

from receiver.playout.stall_tracker import PictureStallTracker, SoundStallTracker


def test_a_concealed_hole_is_no_stall() -> None:
    stalls = SoundStallTracker()
    assert all(stalls.fill(20) for _ in range(6))
    stalls.end_hole(missing_ms=120)
    assert stalls.longest_ms == 0


def test_what_concealment_cannot_cover_is_a_stall() -> None:
    stalls = SoundStallTracker()
    assert [stalls.fill(60) for _ in range(3)] == [True] * 2 + [False]
    stalls.end_hole(missing_ms=180)
    assert stalls.longest_ms == 60


def test_a_pause_of_the_sender_is_no_stall() -> None:
    stalls = SoundStallTracker()
    for _ in range(40):
        stalls.fill(20)
    stalls.end_hole(missing_ms=60)  # one packet was lost: the one that said "silence"
    assert stalls.longest_ms == 0


def test_an_open_hole_counts_while_it_lasts() -> None:
    stalls = SoundStallTracker()
    for _ in range(500):
        stalls.fill(20)
    assert stalls.longest_ms == 10_000 - 120


def test_pictures_stall_when_a_frame_is_missing() -> None:
    stalls = PictureStallTracker(40_000)
    for now_us in (0, 40_000, 82_000, 200_000, 240_000):
        stalls.shown(now_us)
    assert stalls.longest_ms == 118.0
