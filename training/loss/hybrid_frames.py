"""Hybrid sequences (paper III.G.2): part of a window is generated, the rest is true.

The lip expert was trained on true frames only; a window in which a few frames are generated stays near what it
knows, and its gradient lands on those few frames.
"""

from __future__ import annotations

import torch
from torch import Tensor


def hybrid_mask(batch: int, num_frames: int, rng: torch.Generator, least: int = 1) -> Tensor:
    """Which frames are generated: one random contiguous run per row, of `least` to `num_frames` frames.

    Returns:
        [batch, num_frames] bool on the CPU.

    Raises:
        ValueError: `least` is not within 1..num_frames.
    """
    if not 1 <= least <= num_frames:
        raise ValueError(f"hybrid_mask: least must be within 1..{num_frames}, got {least}")
    length = torch.randint(least, num_frames + 1, (batch, 1), generator=rng)
    room = num_frames - length + 1
    start = (torch.rand((batch, 1), generator=rng) * room).long()
    position = torch.arange(num_frames)[None]
    return (position >= start) & (position < start + length)


def hybrid_frames(real: Tensor, fake: Tensor, mask: Tensor) -> Tensor:
    """Generated items where `mask`, true ones elsewhere; gradients reach the generated ones alone.

    Args:
        real, fake: [B, T, ...] frames, landmarks or features.
        mask: [B, T] bool.
    """
    if real.shape != fake.shape or mask.shape != real.shape[:2]:
        raise ValueError(f"hybrid_frames: shapes disagree: {[*real.shape]}, {[*fake.shape]}, mask {[*mask.shape]}")
    shaped = mask.to(real.device).reshape(*mask.shape, *([1] * (real.ndim - 2)))
    return torch.where(shaped, fake, real.detach())
