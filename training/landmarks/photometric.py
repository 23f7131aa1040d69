"""Changes of light and camera on batches of pictures in 0..1: what makes weights indifferent to both."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def uniform(size: int, low: float, high: float, random: torch.Generator) -> Tensor:
    """[size] random numbers in [low, high)."""
    return torch.rand(size, generator=random) * (high - low) + low


def recolour(pictures: Tensor, random: torch.Generator) -> Tensor:
    """Saturation, tint, a side light, contrast, brightness, gamma, low resolution (a quarter), noise.

    Args:
        pictures: [B, 3, H, W] in 0..1.

    Returns:
        The same shape, in 0..1.
    """
    size, _, height, width = pictures.shape
    column = (size, 1, 1, 1)
    grey = pictures.mean(dim=1, keepdim=True)
    out = grey + (pictures - grey) * uniform(size, 0.0, 1.5, random).view(column)
    out = out * (torch.rand(size, 3, 1, 1, generator=random) * 0.4 + 0.8)
    x, y = torch.linspace(-1, 1, width), torch.linspace(-1, 1, height)
    tilt = torch.randn(size, 2, generator=random) * 0.15
    light = 1 + tilt[:, :1, None] * x[None, None, :] + tilt[:, 1:, None] * y[None, :, None]
    out = out * light[:, None].clamp(0.4, 1.6)
    out = (out - 0.5) * uniform(size, 0.6, 1.4, random).view(column) + 0.5
    out = (out + uniform(size, -0.2, 0.2, random).view(column)).clamp(0, 1)
    out = (out + 1e-4) ** torch.exp(uniform(size, -0.5, 0.5, random)).view(column)
    out = _lower_resolution(out, random)
    noise = torch.randn(out.shape, generator=random)
    return (out + noise * uniform(size, 0.0, 0.05, random).view(column)).clamp(0, 1)


def _lower_resolution(pictures: Tensor, random: torch.Generator) -> Tensor:
    """The first quarter of the batch (random pictures anyway) at 0.2 to 0.55 of its resolution."""
    part = len(pictures) // 4
    if part == 0:
        return pictures
    factor = float(uniform(1, 0.2, 0.55, random))
    small_size = [max(8, round(n * factor)) for n in pictures.shape[2:]]
    small = F.interpolate(pictures[:part], size=small_size, mode="bilinear", antialias=True)
    blurred = F.interpolate(small, size=pictures.shape[2:], mode="bilinear")
    return torch.cat([blurred, pictures[part:]])
