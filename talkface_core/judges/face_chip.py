"""The square cut of a face that a recogniser looks at: a box around the 68 points, as a differentiable resampling."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

CHIP_PX = 150
"""Side of dlib's face chip."""
CHIP_MARGIN = 1.25
"""Side of the box over the larger side of the points' own box; no eye corner or chin is cut, little hair is seen."""


def face_chips(pictures: Tensor, points: Tensor, side_px: int = CHIP_PX) -> Tensor:
    """Cut and resample one face per picture; gradients flow into the pictures.

    Where the picture is larger than twice the chip, more samples are taken and averaged, so that a large face is not
    picked at single pixels.

    Args:
        pictures: [N, 3, H, W], any range.
        points: [N, 68, 2] x, y in pixels, (0, 0) being the outer corner of the top-left pixel; no gradient is wanted.

    Returns:
        [N, 3, side_px, side_px]; what lies outside the picture repeats its edge.

    Raises:
        ValueError: shapes do not fit.
    """
    if pictures.ndim != 4 or points.shape != (len(pictures), 68, 2):
        raise ValueError(f"face_chips: needs [N, 3, H, W] and [N, 68, 2], got {[*pictures.shape]}, {[*points.shape]}")
    size = pictures.new_tensor([pictures.shape[3], pictures.shape[2]])  # W, H
    low, high = points.detach().amin(dim=1), points.detach().amax(dim=1)
    reach = (high - low).amax(dim=1, keepdim=True) * (CHIP_MARGIN / 2)  # [N, 1] half the box's side
    finer = max(1, math.ceil(max(pictures.shape[2:]) / (2 * side_px)))
    steps = torch.arange(side_px * finer, device=pictures.device, dtype=pictures.dtype)
    unit = (steps * 2 + 1) / (side_px * finer) - 1
    grid = torch.stack(torch.meshgrid(unit, unit, indexing="xy"), dim=-1)  # [S, S, 2] of the box
    pixels = (low + high)[:, None, None] / 2 + grid * reach[:, None, None]
    chips = F.grid_sample(pictures, pixels / size * 2 - 1, padding_mode="border", align_corners=False)
    return F.avg_pool2d(chips, finer) if finer > 1 else chips
