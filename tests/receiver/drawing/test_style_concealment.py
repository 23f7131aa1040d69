"""One style per frame, whatever came."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from receiver.drawing.idle_motion import IdleMotion
from receiver.drawing.style_concealment import HOLD_TICKS, StyleConcealment
from receiver.drawing.style_receiver import TimedStyle

FRAME = 1920


def vector(ticks: int, value: float) -> TimedStyle:
    return TimedStyle(ticks, np.full(16, value, dtype=np.float32))


def run(styles: StyleConcealment, first: int, count: int) -> list[float]:
    """First value of the style of each frame."""
    shown = []
    for index in range(first, first + count):
        style = styles.style_for_frame(index * FRAME)
        assert style is not None
        shown.append(float(style[0]))
    return shown


def test_vectors_are_joined_by_straight_lines() -> None:
    styles = StyleConcealment()
    styles.add(vector(0, 0.0))
    styles.add(vector(10 * FRAME, 1.0))
    assert run(styles, 0, 11) == pytest.approx([index / 10 for index in range(11)], abs=1e-6)
    assert styles.num_concealed_frames == 0


def test_lost_style_is_held_then_decays_to_neutral() -> None:
    styles = StyleConcealment()
    styles.add(vector(0, 1.0))
    shown = run(styles, 0, 100)
    held = HOLD_TICKS // FRAME
    assert shown[: held + 1] == [1.0] * (held + 1)
    assert all(later <= earlier for earlier, later in itertools.pairwise(shown))
    assert abs(shown[-1]) < 0.02
    assert styles.num_concealed_frames == 100 - held - 1


def test_style_that_comes_back_is_eased_in() -> None:
    styles = StyleConcealment()
    styles.add(vector(0, 1.0))
    before = run(styles, 0, 100)[-1]
    styles.add(vector(100 * FRAME, 1.0))
    after = run(styles, 100, 10)
    steps = np.diff([before, *after])
    assert steps.max() < 0.25
    assert after[6] == pytest.approx(1.0)


def test_a_face_that_never_got_style_has_none() -> None:
    styles = StyleConcealment()
    assert styles.style_for_frame(0.0) is None
    assert styles.style_for_frame(None) is None


def test_idle_track_moves_a_face_without_style() -> None:
    track = np.sin(np.arange(100)[:, None] / 5) * np.ones((1, 16))
    styles = StyleConcealment(IdleMotion(track.astype(np.float32)))
    shown = run(styles, 0, 100)
    assert max(shown) - min(shown) > 0.5
    assert np.abs(np.diff(shown)).max() < 0.2


def test_face_goes_on_moving_as_before_when_style_stops() -> None:
    styles = StyleConcealment()
    rng = np.random.default_rng(1)
    for index in range(200):
        styles.add(TimedStyle(index * FRAME, np.full(16, np.sin(index / 7) + rng.normal() * 0.01, dtype=np.float32)))
        styles.style_for_frame(index * FRAME)
    shown = np.stack([styles.style_for_frame(index * FRAME) for index in range(200, 500)])
    assert shown[100:, 0].std() > 0.2
    assert np.abs(shown).max() <= 2.0
    assert np.abs(np.diff(shown, axis=0)).max() < 0.3
    assert np.abs(shown[100:, 12:]).max() < 0.02  # lips at rest


def test_misordered_vectors_are_passed_over() -> None:
    styles = StyleConcealment()
    styles.add(vector(10 * FRAME, 1.0))
    styles.add(vector(5 * FRAME, 9.0))
    assert run(styles, 10, 1) == [1.0]


def test_vectors_far_apart_are_not_joined() -> None:
    styles = StyleConcealment()
    styles.add(vector(0, 1.0))
    styles.add(vector(100 * FRAME, -1.0))
    assert abs(run(styles, 60, 1)[0]) < 0.3


def test_restart_forgets_the_vectors_but_does_not_jump() -> None:
    styles = StyleConcealment()
    styles.add(vector(0, 1.0))
    before = run(styles, 0, 1)[0]
    styles.restart()
    assert 0.7 < run(styles, 1, 1)[0] < before
