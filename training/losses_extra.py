"""Losses that the paper does not have and the recipe adds; all of them are off in the `paper` recipe.

A plain L1 run ends blurred and hardly uses the sound: these terms are against the first (pyramids, feature matching,
mouth discriminator) and for a steady picture (temporal) at a given rate (style_rate). Each returns a mean per frame.

Shapes: N frames or clips, C channels, T frames per clip, V style values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

PYRAMID_WEIGHTS = (1.0, 0.5, 0.25, 0.125)
"""Weights of full, half, quarter and eighth resolution (MuseTalk's pyramid)."""


def weighted_l1(real: Tensor, fake: Tensor, pixel_weights: Tensor | None = None) -> Tensor:
    """Σ w |x - x̂| / Σ w over pixels.

    Args:
        real, fake: [N, C, H, W].
        pixel_weights: [N, 1, H, W], None for 1 everywhere.
    """
    difference = (real - fake).abs()
    if pixel_weights is None:
        return difference.mean()
    return (difference * pixel_weights).sum() / (pixel_weights.sum() * real.shape[1])


def pyramid_l1(
    real: Tensor, fake: Tensor, pixel_weights: Tensor | None = None, levels: Sequence[float] = PYRAMID_WEIGHTS
) -> Tensor:
    """Weighted L1 at resolutions halved by 2x2 means, summed with `levels`."""
    total = fake.new_zeros(())
    for index, level_weight in enumerate(levels):
        if index:
            real, fake = F.avg_pool2d(real, 2), F.avg_pool2d(fake, 2)
            pixel_weights = None if pixel_weights is None else F.avg_pool2d(pixel_weights, 2)
        total = total + level_weight * weighted_l1(real, fake, pixel_weights)
    return total


def laplacian_l1(real: Tensor, fake: Tensor, pixel_weights: Tensor | None = None, num_bands: int = 3) -> Tensor:
    """L1 of Laplacian bands (picture minus its 2x down- and upsampled self): punishes lost detail, not lost light.

    Band k weighs 2^-k, so that the finest band, where blur shows, counts most.
    """
    total = fake.new_zeros(())
    for band in range(num_bands):
        real_low, fake_low = F.avg_pool2d(real, 2), F.avg_pool2d(fake, 2)
        real_band = real - F.interpolate(real_low, scale_factor=2, mode="bilinear", align_corners=False)
        fake_band = fake - F.interpolate(fake_low, scale_factor=2, mode="bilinear", align_corners=False)
        total = total + 2.0**-band * weighted_l1(real_band, fake_band, pixel_weights)
        real, fake = real_low, fake_low
        pixel_weights = None if pixel_weights is None else F.avg_pool2d(pixel_weights, 2)
    return total


def feature_matching_loss(real_maps: Sequence[Tensor], fake_maps: Sequence[Tensor]) -> Tensor:
    """Mean over maps of the mean |difference| of discriminator features (pix2pixHD, FOMM).

    Args:
        real_maps: maps of D on true frames; no gradient flows into them.
        fake_maps: maps of D on generated frames, same shapes.
    """
    if not real_maps or len(real_maps) != len(fake_maps):
        raise ValueError(
            f"feature_matching_loss: needs as many real as generated maps, got {len(real_maps)} and {len(fake_maps)}"
        )
    terms = [(real.detach() - fake).abs().mean() for real, fake in zip(real_maps, fake_maps, strict=True)]
    return torch.stack(terms).mean()


def temporal_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Mean |(x_{t+1} - x_t) - (x̂_{t+1} - x̂_t)|: motion agrees, still parts stay still.

    Args:
        real, fake: [B, T, C, H, W] consecutive frames; 0 for T = 1.
    """
    if real.shape[1] < 2:
        return fake.new_zeros(())
    return ((real[:, 1:] - real[:, :-1]) - (fake[:, 1:] - fake[:, :-1])).abs().mean()


def style_rate(values: Tensor, step: Tensor, rho: float, scale: Tensor) -> Tensor:
    """Differentiable bits per frame of the style values: code length of AR(1) innovations under a Laplace law.

    The innovation of value v is q_t - ρ q_{t-1} in units of the quantiser step; its code length is
    -log2 ∫ Laplace(x; 0, b) over the bin of width 1 around it, as in learned image compression (Ballé et al., 2018).

    Args:
        values: [B, T, V] style values (with the training noise of the quantiser already on them), T >= 2.
        step: [V] or scalar quantiser step.
        rho: leak of the predictor, 0..1.
        scale: [V] or scalar b > 0 in steps.

    Returns:
        Scalar bits per frame, summed over V.
    """
    quantised = values / step
    innovation = quantised[:, 1:] - rho * quantised[:, :-1]  # [B, T-1, V]
    magnitude = innovation.abs()
    b = scale.clamp_min(1e-3)
    # Bin mass, written for |x| so that the tail is e^-x itself and never 1 - (1 - e^-x).
    tail = 0.5 * (torch.exp(-(magnitude - 0.5).clamp_min(0) / b) - torch.exp(-(magnitude + 0.5) / b))
    middle = 0.5 * (1 - torch.exp(-(0.5 - magnitude).clamp_min(0) / b)) + 0.5 * (1 - torch.exp(-(magnitude + 0.5) / b))
    mass = torch.where(magnitude < 0.5, middle, tail)
    # Far out the mass underflows; there the exact length is linear in |x|.
    linear = (magnitude - 0.5) / b / math.log(2) - torch.log2(0.5 * (1 - torch.exp(-1 / b)))
    bits = torch.where(mass > 1e-20, -torch.log2(mass.clamp_min(1e-20)), linear)
    return bits.sum(-1).mean()
