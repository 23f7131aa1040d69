"""A reel of style tracks: long, smooth, and in an order in which ends meet beginnings."""

from __future__ import annotations

import numpy as np
import pytest

from training.style_reel import chain_tracks


def ramp(start: float, stop: float, frames: int = 60) -> np.ndarray:
    return np.linspace(start, stop, frames, dtype=np.float32)[:, None].repeat(16, 1)


def test_clips_follow_where_they_fit() -> None:
    # 0 -> 1, 1 -> 3, 3 -> 2: only this order meets without jumps; the first is of middling liveliness.
    tracks = [ramp(3, 2, 60), ramp(1, 3, 60), ramp(0, 1, 60)]
    reel = chain_tracks(tracks, fade_frames=10)
    assert reel.shape == (160, 16)
    assert reel.dtype == np.float32
    starts = chain_tracks([ramp(0, 1), ramp(1, 1.1), ramp(1, 5)], fade_frames=10)
    np.testing.assert_array_equal(starts[0], 0)
    # Any other order falls from 5 to 1 within a fade: 0.4 a frame.
    assert np.abs(np.diff(starts, axis=0)).max() < 0.2


def test_fading_is_smooth_even_where_nothing_fits() -> None:
    reel = chain_tracks([ramp(0, 0), ramp(10, 10)], fade_frames=9)
    assert np.abs(np.diff(reel, axis=0)).max() == pytest.approx(1.0)
    assert {float(reel[0, 0]), float(reel[-1, 0])} == {0.0, 10.0}


def test_limits() -> None:
    tracks = [ramp(i, i + 1) for i in range(20)]
    assert len(chain_tracks(tracks, num_clips=3, fade_frames=10)) == 60 * 3 - 20
    short = ramp(0, 1, 5)
    assert np.array_equal(chain_tracks([short], fade_frames=10), short)
    with pytest.raises(ValueError, match="no style track"):
        chain_tracks([])
