"""Losses that the paper does not have and the recipe adds; all of them are off in the `paper` recipe.

A plain L1 run ends blurred and hardly uses the sound: these terms are against the first (pyramids, feature matching,
mouth discriminator), for a steady picture (temporal) and at a given rate (style_rate). Each returns one value per
sample, so that samples can be weighted.

Shapes: N frames or clips, C channels, T frames per clip, V style values.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from talkface_core.style.quantiser import laplace_bits

PYRAMID_WEIGHTS = (1.0, 0.5, 0.25, 0.125)
"""Weights of full, half, quarter and eighth resolution (MuseTalk's pyramid)."""


def weighted_l1(real: Tensor, fake: Tensor, pixel_weights: Tensor | None = None) -> Tensor:
    """Per picture Σ w |x - x̂| / Σ w, so that a batch's mean does not depend on how it is split.

    Args:
        real, fake: [N, C, H, W].
        pixel_weights: [N, 1, H, W], None for 1 everywhere.

    Returns:
        [N]
    """
    difference = (real - fake).abs()
    if pixel_weights is None:
        return difference.mean(dim=(1, 2, 3))
    weighted = (difference * pixel_weights).sum(dim=(1, 2, 3))
    return weighted / (pixel_weights.sum(dim=(1, 2, 3)) * real.shape[1])


def squared_error(real: Tensor, fake: Tensor) -> Tensor:
    """Mean squared difference: [N].

    L1 pulls a shoulder's edge that is off by half the range no harder than a faint difference in skin; what PSNR
    counts is mostly such edges.
    """
    return (real - fake).square().mean(dim=(1, 2, 3))


def pyramid_l1(
    real: Tensor, fake: Tensor, pixel_weights: Tensor | None = None, levels: Sequence[float] = PYRAMID_WEIGHTS
) -> Tensor:
    """Weighted L1 at resolutions halved by 2x2 means, summed with `levels`: [N]."""
    total = fake.new_zeros(fake.shape[0])
    for index, level_weight in enumerate(levels):
        if index:
            real, fake = F.avg_pool2d(real, 2), F.avg_pool2d(fake, 2)
            pixel_weights = None if pixel_weights is None else F.avg_pool2d(pixel_weights, 2)
        total = total + level_weight * weighted_l1(real, fake, pixel_weights)
    return total


def laplacian_l1(real: Tensor, fake: Tensor, pixel_weights: Tensor | None = None, num_bands: int = 3) -> Tensor:
    """L1 of Laplacian bands (picture minus its 2x down- and upsampled self): punishes lost detail, not lost light.

    Band k weighs 2^-k, so that the finest band, where blur shows, counts most. Returns [N].
    """
    total = fake.new_zeros(fake.shape[0])
    pairs = zip(laplacian_bands(real, num_bands), laplacian_bands(fake, num_bands), strict=True)
    for band, (real_band, fake_band) in enumerate(pairs):
        total = total + 2.0**-band * weighted_l1(real_band, fake_band, pixel_weights)
        pixel_weights = None if pixel_weights is None else F.avg_pool2d(pixel_weights, 2)
    return total


def laplacian_bands(pictures: Tensor, num_bands: int) -> list[Tensor]:
    """[N, C, H, W] to bands [N, C, H / 2^k, W / 2^k], finest first: a picture minus its 2x down- and upsampled self."""
    bands = []
    for _ in range(num_bands):
        low = F.avg_pool2d(pictures, 2)
        bands.append(pictures - F.interpolate(low, scale_factor=2, mode="bilinear", align_corners=False))
        pictures = low
    return bands


def band_energy_l1(
    real: Tensor, fake: Tensor, pixel_weights: Tensor | None = None, num_bands: int = 2, cell_px: int = 8
) -> Tensor:
    """L1 between the local strength of detail: root mean square of each Laplacian band over cells of 8 x 8.

    A distance of pixels is least for a blur where detail cannot be placed exactly (skin, hair, beard); this one asks
    for as much detail as the true picture has there, wherever it lies within the cell. Returns [N].
    """
    total = fake.new_zeros(fake.shape[0])
    pairs = zip(laplacian_bands(real, num_bands), laplacian_bands(fake, num_bands), strict=True)
    for band, (real_band, fake_band) in enumerate(pairs):
        strengths = [(F.avg_pool2d(b.square(), cell_px) + 1e-6).sqrt() for b in (real_band, fake_band)]
        weights = None if pixel_weights is None else F.avg_pool2d(pixel_weights, cell_px)
        total = total + 2.0**-band * weighted_l1(strengths[0], strengths[1], weights)
        pixel_weights = None if pixel_weights is None else F.avg_pool2d(pixel_weights, 2)
    return total


def feature_matching_loss(real_maps: Sequence[Tensor], fake_maps: Sequence[Tensor]) -> Tensor:
    """Mean over maps of the mean |difference| of discriminator features (pix2pixHD, FOMM).

    Args:
        real_maps: maps [N, C, H, W] of D on true frames; no gradient flows into them.
        fake_maps: maps of D on generated frames, same shapes.

    Returns:
        [N]
    """
    if not real_maps or len(real_maps) != len(fake_maps):
        raise ValueError(
            f"feature_matching_loss: needs as many real as generated maps, got {len(real_maps)} and {len(fake_maps)}"
        )
    terms = [(real.detach() - fake).abs().flatten(1).mean(1) for real, fake in zip(real_maps, fake_maps, strict=True)]
    return torch.stack(terms).mean(0)


def temporal_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Mean |(x_{t+1} - x_t) - (x̂_{t+1} - x̂_t)|: motion agrees, still parts stay still.

    Args:
        real, fake: [B, T, C, H, W] consecutive frames.

    Returns:
        [B]; 0 for T = 1.
    """
    if real.shape[1] < 2:
        return fake.new_zeros(fake.shape[0])
    return ((real[:, 1:] - real[:, :-1]) - (fake[:, 1:] - fake[:, :-1])).abs().mean(dim=(1, 2, 3, 4))


def style_rate(values: Tensor, steps: Tensor, leak: float, scale: Tensor) -> Tensor:
    """Bits per frame of the style values, with a Laplace scale that is given instead of fitted to the batch.

    A scale fitted to what is seen would depend on how a batch is split over processes; with a running estimate the
    mean over clips is a plain mean.

    Args:
        values: [B, T, V], T >= 2, with the training noise on them.
        steps: [V] quantiser steps.
        leak: coefficient of the predictor, 0..1.
        scale: [V] Laplace scale b of the innovations, in steps.

    Returns:
        [B] bits per frame, summed over V.
    """
    return laplace_bits(style_innovation(values, steps, leak), scale).sum(-1).mean(-1)


def style_innovation(values: Tensor, steps: Tensor, leak: float) -> Tensor:
    """v_t - leak v_{t-1} in steps: [B, T, V] to [B, T - 1, V]."""
    return (values[:, 1:] - leak * values[:, :-1]) / steps
