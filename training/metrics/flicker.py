"""Temporal flicker: how much pixels move that should stand still; lower is better, the original's value is the floor.

A pixel is static background when it lies outside the face's surroundings and hardly changes in the original.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from training.metrics.result import check_same_frames


def static_background_mask(real: Tensor, points: Tensor, max_std: float = 3 / 255, margin: float = 0.25) -> Tensor:
    """Pixels outside the enlarged face box of every frame whose smoothed value stays within `max_std` in the original.

    Args:
        real: [T, 3, H, W] in [0, 1].
        points: [T, 68, 2] pixels.
        max_std: largest standard deviation over time, after a 3x3 mean that quiets the camera's noise.
        margin: how far the face box reaches beyond the landmarks, as a share of its size (hair, ears).

    Returns:
        [H, W] bool.
    """
    height, width = real.shape[-2:]
    low, high = points.amin(dim=(0, 1)), points.amax(dim=(0, 1))
    reach = (high - low) * margin
    xs = torch.arange(width, device=real.device)
    ys = torch.arange(height, device=real.device)
    in_x = (xs >= low[0] - reach[0]) & (xs <= high[0] + reach[0])
    # Twice the reach upwards: landmarks end at the brows, hair goes on.
    in_y = (ys >= low[1] - 2 * reach[1]) & (ys <= high[1] + reach[1])
    smooth = F.avg_pool2d(real, 3, stride=1, padding=1, count_include_pad=False)
    quiet = smooth.std(dim=0, unbiased=False).amax(0) <= max_std
    return quiet & ~(in_y[:, None] & in_x[None])


def background_flicker(frames: Tensor, mask: Tensor) -> float | None:
    """Root mean square over masked pixels of the standard deviation over time, in levels of 255.

    Args:
        frames: [T, 3, H, W] in [0, 1].
        mask: [H, W] bool, from `static_background_mask` of the original.

    Returns:
        Levels, or None when fewer than 64 pixels are static (a moving camera, a crop full of face).
    """
    check_same_frames("background_flicker", frames, frames)
    if int(mask.sum()) < 64:
        return None
    deviation = frames.std(dim=0, unbiased=False)[:, mask]  # [3, pixels]
    return float(deviation.square().mean().sqrt()) * 255
