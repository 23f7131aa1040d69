"""Landmark distance, sharpness, flicker and style bits against direct computations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.metrics import (
    FACE_POINTS,
    StyleBits,
    background_flicker,
    box_around,
    high_band_ratio,
    landmark_distance,
    static_background_mask,
)
from training.metrics.landmark_distance import eye_distance, warped_landmark_distance


def test_landmark_distance_is_the_published_formula() -> None:
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(4, 68, 2)) * 20, rng.normal(size=(4, 68, 2)) * 20
    expected = []
    for t in range(4):
        lr, lf = real[t, 48:68], fake[t, 48:68]
        lr, lf = lr - lr.mean(0), lf - lf.mean(0)
        expected.append(np.mean([np.hypot(*(lr[p] - lf[p])) for p in range(20)]))
    got = landmark_distance(torch.from_numpy(real), torch.from_numpy(fake))
    assert got.tolist() == pytest.approx(expected)


def test_landmark_distance_forgives_a_shift_only_when_calibrated() -> None:
    real = torch.rand(2, 68, 2) * 256
    moved = real + torch.tensor([3.0, 4.0])
    assert landmark_distance(real, moved, FACE_POINTS).max() < 1e-4
    assert landmark_distance(real, moved, FACE_POINTS, calibrated=False).tolist() == pytest.approx([5, 5], abs=1e-4)
    with pytest.raises(ValueError, match=r"\[2, 68, 2\] and \[1, 68, 2\]"):
        landmark_distance(real, moved[:1])


def test_high_band_ratio_of_known_waves() -> None:
    x = torch.arange(64) * 2 * torch.pi
    low, high = torch.sin(x * 8 / 64), torch.sin(x * 24 / 64)  # 0.125 and 0.375 cycles per pixel

    def picture(high_gain: float) -> torch.Tensor:
        return (0.5 + 0.2 * low + 0.1 * high_gain * high).expand(2, 3, 64, 64)

    assert high_band_ratio(picture(1), picture(0.5)) == pytest.approx(0.25, rel=1e-3)
    assert high_band_ratio(picture(1), picture(1)) == pytest.approx(1)
    assert high_band_ratio(picture(1), picture(0)) < 1e-3
    assert high_band_ratio(picture(0) * 0 + 0.5, picture(1)) == float("inf")


def test_high_band_ratio_looks_into_its_box_only() -> None:
    rng = torch.Generator().manual_seed(0)
    real = torch.rand(1, 3, 64, 64, generator=rng)
    fake = real.clone()
    fake[..., :32, :] = 0.5  # blur away the upper half
    assert high_band_ratio(real, fake, (0, 32, 64, 64)) == pytest.approx(1)
    assert high_band_ratio(real, fake, (0, 0, 64, 32)) < 1e-6
    with pytest.raises(ValueError, match="too small"):
        high_band_ratio(real, fake, (0, 0, 4, 4))


def test_box_around_encloses_every_frame_and_stays_inside() -> None:
    points = torch.full((3, 68, 2), 100.0)
    points[1, 48], points[2, 67] = torch.tensor([80.0, 90.0]), torch.tensor([120.0, 110.0])
    assert box_around(points, range(48, 68), 256, scale=1.0) == (80, 90, 120, 110)
    left, top, right, bottom = box_around(points * 2.5, range(48, 68), 256, scale=2.0)
    assert 0 <= left < right <= 256
    assert 0 <= top < bottom <= 256


def test_flicker_is_the_deviation_of_static_background() -> None:
    rng = torch.Generator().manual_seed(0)
    real = torch.full((20, 3, 64, 64), 0.5)
    real[:, :, :8] = torch.rand(20, 1, 1, 1, generator=rng)  # a strip that moves in the original
    points = torch.rand(20, 68, 2, generator=rng) * 10 + 30
    mask = static_background_mask(real, points)
    assert not mask[:8].any()
    assert not mask[30:40, 30:40].any()
    assert mask[60, 60]
    fake = real + torch.randn(20, 3, 64, 64, generator=rng) * 2 / 255
    value = background_flicker(fake, mask)
    expected = float(np.sqrt(np.mean(np.var(fake.numpy()[:, :, mask.numpy()], axis=0)))) * 255
    assert value == pytest.approx(expected, rel=1e-4)
    assert value == pytest.approx(2, rel=0.05)
    assert background_flicker(real, mask) == 0
    assert background_flicker(real, mask & False) is None


def test_style_bits_by_layer() -> None:
    bits = StyleBits()
    with pytest.raises(ValueError, match="no time"):
        bits.kbps()
    for _ in range(100):
        bits.add(b"12345", b"1234567")
    bits.seconds = 6.0
    assert bits.kbps() == pytest.approx({"base": 5 * 8 / 60, "lips": 2 * 8 / 60, "total": 7 * 8 / 60})


def cheapest_path(cost: np.ndarray, i: int, j: int) -> tuple[float, int]:
    """Sum and length of the best warp from (0, 0) to (i, j) by trying every step."""
    if i < 0 or j < 0:
        return (0.0, 0) if i == j == -1 else (float("inf"), 0)
    total, length = min(cheapest_path(cost, i - a, j - b) for a, b in ((1, 1), (1, 0), (0, 1)))
    return total + float(cost[i, j]), length + 1


def test_warped_distance_is_the_cheapest_of_all_paths() -> None:
    rng = np.random.default_rng(2)
    real, fake = rng.normal(size=(5, 68, 2)), rng.normal(size=(5, 68, 2))
    cost = np.zeros((5, 5))
    for i in range(5):
        for j in range(5):
            a, b = real[i, 48:] - real[i, 48:].mean(0), fake[j, 48:] - fake[j, 48:].mean(0)
            cost[i, j] = np.mean(np.hypot(*(a - b).T))
    total, length = cheapest_path(cost, 4, 4)
    got = warped_landmark_distance(torch.from_numpy(real), torch.from_numpy(fake))
    assert got == pytest.approx(total / length)
    assert got <= float(landmark_distance(torch.from_numpy(real), torch.from_numpy(fake)).mean())


def test_warp_forgives_late_lips_but_not_very_late_ones() -> None:
    rng = torch.Generator().manual_seed(0)
    real = torch.rand(40, 68, 2, generator=rng) * 20
    late = real.roll(3, 0)
    late[:3] = real[0]
    very_late = real.roll(12, 0)
    plain = [float(landmark_distance(real, p).mean()) for p in (late, very_late)]
    warped = [warped_landmark_distance(real, p) for p in (late, very_late)]
    assert warped[0] < 0.2 * plain[0]
    assert warped[1] > 0.5 * plain[1]


def test_distance_of_the_eyes_is_that_of_their_outer_corners() -> None:
    points = torch.zeros(2, 68, 2)
    points[:, 45] = torch.tensor([[3.0, 4.0], [6.0, 8.0]])
    assert eye_distance(points).tolist() == [5, 10]
