"""Idle motion is bounded, continuous and endless."""

from __future__ import annotations

import numpy as np
import pytest

from receiver.drawing.idle_motion import AMPLITUDE, HISTORY_FRAMES, MAX_ABSOLUTE_VALUE, MIN_HISTORY_FRAMES, IdleMotion


def test_without_any_past_nothing_is_known() -> None:
    assert IdleMotion().next_frame() is None


def test_track_is_played_back_and_forth_without_a_jump() -> None:
    track = np.cumsum(np.full((50, 16), 0.02, dtype=np.float32), axis=0)
    idle = IdleMotion(track)
    frames = np.stack([idle.next_frame() for _ in range(500)])
    assert np.abs(np.diff(frames, axis=0)).max() <= 0.02 * AMPLITUDE + 1e-6
    assert np.abs(frames[:, 12:]).max() == 0
    assert len({round(float(value), 5) for value in frames[:, 0]}) == 50


def test_recent_past_replaces_the_track() -> None:
    idle = IdleMotion(np.zeros((10, 16), dtype=np.float32))
    for index in range(MIN_HISTORY_FRAMES):
        idle.remember(np.full(16, 100.0 * (-1) ** index, dtype=np.float32))
    frames = np.stack([idle.next_frame() for _ in range(HISTORY_FRAMES * 3)])
    assert np.abs(frames[:, :12]).max() == MAX_ABSOLUTE_VALUE


def test_one_frame_is_a_still() -> None:
    idle = IdleMotion(np.ones((1, 16), dtype=np.float32))
    first, second = idle.next_frame(), idle.next_frame()
    assert first is not None
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("shape", [(0, 16), (5, 8), (16,)])
def test_wrong_track_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="idle track"):
        IdleMotion(np.zeros(shape, dtype=np.float32))
