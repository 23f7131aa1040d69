"""The recipe's extra losses against direct computations in numpy and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.transform
import torch

from training.loss.additions import (
    band_energy_l1,
    feature_matching_loss,
    laplacian_l1,
    pyramid_l1,
    squared_error,
    style_rate,
    temporal_loss,
    weighted_l1,
)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def halve(x: np.ndarray) -> np.ndarray:
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).mean(axis=(3, 5))


def test_weighted_l1_is_a_weighted_mean_per_picture() -> None:
    real, fake = random(2, 3, 4, 4), random(2, 3, 4, 4, seed=1)
    weights = random(2, 1, 4, 4, seed=2).abs()
    for n in range(2):
        expected = np.average((real - fake)[n].abs().numpy(), weights=np.broadcast_to(weights[n].numpy(), (3, 4, 4)))
        assert weighted_l1(real, fake, weights)[n].item() == pytest.approx(float(expected))
    assert weighted_l1(real, fake).mean().item() == pytest.approx(float((real - fake).abs().mean()))


def test_pyramid_l1_sums_halved_pictures() -> None:
    real, fake = random(2, 3, 16, 16), random(2, 3, 16, 16, seed=1)
    a, b, expected = real.numpy(), fake.numpy(), 0.0
    for weight in (1.0, 0.5, 0.25, 0.125):
        expected += weight * np.abs(a - b).mean()
        a, b = halve(a), halve(b)
    assert pyramid_l1(real, fake).mean().item() == pytest.approx(float(expected))


def test_squared_error_counts_every_picture_for_itself() -> None:
    real = torch.zeros(2, 3, 4, 4)
    fake = real.clone()
    fake[1, :, 0, 0] = 2.0
    assert squared_error(real, fake).tolist() == [0.0, 4 / 16]


def test_laplacian_l1_ignores_brightness_and_sees_blur() -> None:
    real = random(1, 3, 32, 32)
    blurred = torch.nn.functional.avg_pool2d(real, 3, 1, 1)
    assert laplacian_l1(real, real + 0.5).item() == pytest.approx(0, abs=1e-12)
    assert laplacian_l1(real, blurred).item() > 0.3


def test_band_energy_asks_for_as_much_detail_wherever_it_lies() -> None:
    real = random(1, 3, 32, 32)
    shifted = real.roll(1, dims=3)
    blurred = torch.nn.functional.avg_pool2d(real, 3, 1, 1)
    assert band_energy_l1(real, real + 0.5).item() == pytest.approx(0, abs=1e-6)
    # Noise moved by a pixel is as different as other noise to a pixel loss, and nearly the same to this one.
    assert laplacian_l1(real, shifted).item() > laplacian_l1(real, blurred).item()
    assert band_energy_l1(real, shifted).item() < 0.25 * band_energy_l1(real, blurred).item()


def test_band_energy_is_the_root_mean_square_of_each_band_per_cell() -> None:
    real, fake = random(1, 1, 16, 16), random(1, 1, 16, 16, seed=1)

    def strengths(picture: np.ndarray) -> np.ndarray:
        smooth = skimage.transform.resize(halve(picture[None, None])[0, 0], picture.shape, order=1, mode="edge")
        cells = ((picture - smooth) ** 2).reshape(2, 8, 2, 8).mean(axis=(1, 3))
        return np.sqrt(cells + 1e-6)

    expected = np.abs(strengths(real[0, 0].numpy()) - strengths(fake[0, 0].numpy())).mean()
    assert band_energy_l1(real, fake, num_bands=1).item() == pytest.approx(float(expected), rel=1e-6)


def test_feature_matching_has_no_gradient_into_the_real_side() -> None:
    real, fake = random(2, 4).requires_grad_(), random(2, 4, seed=1).requires_grad_()
    loss = feature_matching_loss([real, real], [fake, real.detach()])
    assert loss.mean().item() == pytest.approx(float((real - fake).abs().mean().detach()) / 2)
    loss.sum().backward()
    assert real.grad is None
    assert fake.grad is not None
    with pytest.raises(ValueError, match="0 and 1"):
        feature_matching_loss([], [fake])


def test_temporal_loss_compares_motion_only() -> None:
    real = random(2, 3, 1, 4, 4)
    offset = random(2, 1, 1, 4, 4, seed=5)
    assert temporal_loss(real, real + offset).max().item() == pytest.approx(0, abs=1e-12)
    fake = random(2, 3, 1, 4, 4, seed=6)
    expected = np.abs(np.diff(real.numpy(), axis=1) - np.diff(fake.numpy(), axis=1)).mean()
    assert temporal_loss(real, fake).mean().item() == pytest.approx(float(expected))
    assert temporal_loss(real[:, :1], fake[:, :1]).tolist() == [0, 0]


def test_style_rate_is_the_code_length_of_the_bins() -> None:
    stats = pytest.importorskip("scipy.stats")
    values, step, leak, scale = random(2, 6, 4) * 2, torch.full((4,), 0.5).double(), 0.9, random(4, seed=3).abs() + 0.3
    q = (values / step).numpy()
    innovation = q[:, 1:] - leak * q[:, :-1]
    law = stats.laplace(scale=scale.numpy())
    bits = -np.log2(law.cdf(innovation + 0.5) - law.cdf(innovation - 0.5))
    assert style_rate(values, step, leak, scale).tolist() == pytest.approx(bits.sum(-1).mean(-1).tolist(), rel=1e-6)
