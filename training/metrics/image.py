"""SSIM, PSNR and MS-SSIM (Wang et al. 2004; Wang, Simoncelli and Bovik 2003): higher is better.

Gaussian window of 11 pixels, σ = 1.5, K = (0.01, 0.03), colour channels averaged, windows that would leave the
picture not counted: what scikit-image computes with `gaussian_weights=True, use_sample_covariance=False`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from training.metrics.result import check_same_frames

WINDOW_PX = 11
SIGMA_PX = 1.5
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
MS_SSIM_LEAST_PX = (WINDOW_PX - 1) * 2 ** (len(MS_SSIM_WEIGHTS) - 1) + 1


def psnr(real: Tensor, fake: Tensor) -> Tensor:
    """10 log10(1 / MSE) per frame, in dB; infinite for equal frames.

    Args:
        real, fake: [T, C, H, W] in [0, 1].

    Returns:
        [T]
    """
    check_same_frames("psnr", real, fake)
    return -10 * torch.log10((real - fake).square().mean(dim=(1, 2, 3)))


def ssim(real: Tensor, fake: Tensor) -> Tensor:
    """Mean structural similarity per frame, [T]; 1 for equal frames."""
    check_same_frames("ssim", real, fake)
    return _ssim_and_contrast(real, fake)[0]


def ms_ssim(real: Tensor, fake: Tensor) -> Tensor:
    """Multi-scale SSIM per frame, [T]: contrast at five scales, luminance at the last.

    Raises:
        ValueError: frames below 161 pixels have no room for five scales of the window.
    """
    return ssim_and_ms_ssim(real, fake)[1]


def ssim_and_ms_ssim(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Both at the price of the second, [T] each; errors as `ms_ssim`."""
    check_same_frames("ms_ssim", real, fake)
    if min(real.shape[-2:]) < MS_SSIM_LEAST_PX:
        raise ValueError(
            f"ms_ssim: frames must be at least {MS_SSIM_LEAST_PX} pixels high and wide, got {[*real.shape[-2:]]}"
        )
    product = real.new_ones(real.shape[0])
    full: Tensor | None = None
    for scale, weight in enumerate(MS_SSIM_WEIGHTS):
        similarity, contrast = _ssim_and_contrast(real, fake)
        full = similarity if full is None else full
        is_last = scale == len(MS_SSIM_WEIGHTS) - 1
        product = product * (similarity if is_last else contrast).clamp_min(0) ** weight
        real, fake = F.avg_pool2d(real, 2), F.avg_pool2d(fake, 2)
    assert full is not None
    return full, product


def _ssim_and_contrast(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Mean SSIM and mean contrast-structure term per frame, [T] each."""
    c1, c2 = 0.01**2, 0.03**2
    mean_r, mean_f = _blur(real), _blur(fake)
    var_r = _blur(real * real) - mean_r * mean_r
    var_f = _blur(fake * fake) - mean_f * mean_f
    covariance = _blur(real * fake) - mean_r * mean_f
    contrast = (2 * covariance + c2) / (var_r + var_f + c2)
    luminance = (2 * mean_r * mean_f + c1) / (mean_r.square() + mean_f.square() + c1)
    return (luminance * contrast).mean(dim=(1, 2, 3)), contrast.mean(dim=(1, 2, 3))


def _blur(x: Tensor) -> Tensor:
    """Separable Gaussian of WINDOW_PX taps, valid part only."""
    offset = torch.arange(WINDOW_PX, dtype=x.dtype, device=x.device) - WINDOW_PX // 2
    taps = torch.exp(-offset.square() / (2 * SIGMA_PX**2))
    taps = (taps / taps.sum()).expand(x.shape[1], 1, 1, WINDOW_PX)
    x = F.conv2d(x, taps, groups=x.shape[1])
    return F.conv2d(x, taps.transpose(2, 3), groups=x.shape[1])
