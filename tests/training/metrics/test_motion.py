"""Motion of the head: known tracks, whatever mouth and eyes do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.metrics.motion import head_motion, head_track


def head(track: np.ndarray, seed: int = 0) -> torch.Tensor:
    """[T, 68, 2]: a face of 100 px between the outer eye corners, moved along a track [T, 2] of pixels."""
    face = np.random.default_rng(seed).uniform(0, 100, (68, 2))
    face[36], face[45] = (0, 30), (100, 30)
    return torch.from_numpy(face[None] + track[:, None])


TRACK = np.stack([10 * np.sin(np.arange(60) / 7), 4 * np.cos(np.arange(60) / 11)], axis=1)


def test_correlation_and_scale_are_least_squares() -> None:
    rng = np.random.default_rng(1)
    other = 0.6 * TRACK + rng.normal(size=TRACK.shape) * 2
    got = head_motion(head(TRACK), head(other))
    assert got is not None
    u, v = TRACK - TRACK.mean(0), other - other.mean(0)
    assert got.correlation == pytest.approx(np.corrcoef(u.ravel(), v.ravel())[0, 1])
    assert got.scale == pytest.approx(np.linalg.lstsq(u.reshape(-1, 1), v.ravel(), rcond=None)[0][0])


def test_a_ghost_stays_behind() -> None:
    still = head_motion(head(TRACK), head(TRACK * 0.1))
    wrong = head_motion(head(TRACK), head(-TRACK))
    assert still is not None
    assert wrong is not None
    assert (still.scale, still.correlation) == pytest.approx((0.1, 1.0))
    assert (wrong.scale, wrong.correlation) == pytest.approx((-1.0, -1.0))


def test_mouth_and_eyelids_do_not_move_the_head() -> None:
    points = head(TRACK)
    talking = points.clone()
    talking[:, 48:] += torch.rand(60, 20, 2) * 20
    talking[:, [37, 38, 40, 41, 43, 44, 46, 47]] += torch.rand(60, 8, 2) * 5
    talking[:, :27] += torch.rand(60, 27, 2) * 5
    torch.testing.assert_close(head_track(points), head_track(talking))


def test_a_head_that_stands_still_says_nothing() -> None:
    assert head_motion(head(TRACK * 0.1), head(TRACK)) is None
    with pytest.raises(ValueError, match="60"):
        head_motion(head(TRACK), head(TRACK[:10]))
