"""SSIM, PSNR and MS-SSIM against scikit-image and torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.metrics import frames_to_unit, ms_ssim, psnr, ssim


def pair(size: int = 64, count: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(
        torch.rand(count, 3, 9, 9, generator=rng), size=(size, size), mode="bicubic"
    )
    real = smooth.clamp(0, 1)
    return real, (real + 0.1 * torch.randn(real.shape, generator=rng)).clamp(0, 1)


def test_ssim_and_psnr_agree_with_scikit_image() -> None:
    measure = pytest.importorskip("skimage.metrics")
    real, fake = pair()
    for t in range(3):
        a, b = real[t].permute(1, 2, 0).numpy(), fake[t].permute(1, 2, 0).numpy()
        expected = measure.structural_similarity(
            a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0, channel_axis=2
        )
        assert ssim(real, fake)[t].item() == pytest.approx(expected, abs=1e-5)
        assert psnr(real, fake)[t].item() == pytest.approx(
            measure.peak_signal_noise_ratio(a, b, data_range=1.0), abs=1e-4
        )


def test_ms_ssim_agrees_with_torchmetrics() -> None:
    functional = pytest.importorskip("torchmetrics.functional.image")
    real, fake = pair(192, 2)
    expected = functional.multiscale_structural_similarity_index_measure(fake, real, data_range=1.0, reduction="none")
    assert ms_ssim(real, fake).tolist() == pytest.approx(expected.tolist(), abs=2e-4)


def test_equal_frames_are_perfect() -> None:
    real, _ = pair(192, 1)
    assert ssim(real, real).item() == pytest.approx(1)
    assert ms_ssim(real, real).item() == pytest.approx(1)
    assert psnr(real, real).item() == float("inf")


def test_shapes_are_checked_by_name() -> None:
    real, fake = pair()
    with pytest.raises(ValueError, match=r"ssim.*\[3, 3, 64, 64\].*\[2, 3, 64, 64\]"):
        ssim(real, fake[:2])
    with pytest.raises(ValueError, match="161 pixels"):
        ms_ssim(real, fake)


def test_frames_to_unit_is_the_only_door() -> None:
    frames = np.full((2, 4, 5, 3), 255, np.uint8)
    assert frames_to_unit(frames).shape == (2, 3, 4, 5)
    assert frames_to_unit(frames).max() == 1
    with pytest.raises(ValueError, match="float64"):
        frames_to_unit(frames.astype(float))  # type: ignore[arg-type]
