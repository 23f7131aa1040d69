"""The A/V offset of a clip whose lips and sound are known."""

from __future__ import annotations

import numpy as np
import pytest

from training.prepare.av_offset import find_av_offset


def clip(shift_frames: int, frames: int = 100) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    loud = np.convolve(rng.uniform(0, 1, frames + 60), np.ones(4) / 4, "same") ** 3
    points = np.zeros((frames, 68, 2), np.float32)
    points[:, 45, 0] = 60
    points[:, 61:64, 1] = -(loud[30 : 30 + frames, None]) * 10
    samples = (
        rng.normal(size=frames * 640) * np.repeat(loud[30 - shift_frames : 30 - shift_frames + frames], 640) * 8000
    )
    return points, samples.astype(np.int16)


@pytest.mark.parametrize("shift", [-9, -1, 0, 4, 10])
def test_a_known_shift_is_found(shift: int) -> None:
    found = find_av_offset(*clip(shift))
    assert found.frames == shift
    assert found.is_clear


def test_noise_is_not_believed() -> None:
    points, _ = clip(0)
    samples = (np.random.default_rng(0).normal(size=64_000) * 3000).astype(np.int16)
    assert not find_av_offset(points, samples).is_clear


def test_a_rhythm_that_fits_at_two_places_is_not_believed() -> None:
    t = np.arange(100)
    beat = np.maximum(0, np.sin(2 * np.pi * t / 8))
    points = np.zeros((100, 68, 2), np.float32)
    points[:, 45, 0] = 60
    points[:, 61:64, 1] = -beat[:, None] * 10
    samples = (np.random.default_rng(0).normal(size=64_000) * np.repeat(beat, 640) * 8000).astype(np.int16)
    found = find_av_offset(points, samples)
    assert found.correlation > 0.8
    assert not found.is_clear


def test_too_short_a_clip_is_refused() -> None:
    points, samples = clip(0)
    with pytest.raises(ValueError, match="25 frames or more, got 20"):
        find_av_offset(points[:20], samples)
