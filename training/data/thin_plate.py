"""Bending a picture so that given points move: thin-plate splines (Bookstein, 1989) in two dimensions."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

Points = NDArray[np.float64]


def cell_centres(side: int) -> Tensor:
    """[side, side, 2] x, y of a picture's cells, the picture being -1..1."""
    axis = (torch.arange(side) * 2 + 1) / side - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x, y], dim=-1)


def thin_plate_grid(moved: Points, original: Points, side: int, smoothing: float = 0.02) -> Tensor:
    """[side, side, 2] where to read the picture, so that what was at `original` shows at `moved` ([N, 2], -1..1)."""
    ground, wanted = torch.from_numpy(moved), torch.from_numpy(original - moved)
    num = len(ground)

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        squared = ((a[:, None] - b[None]) ** 2).sum(dim=2)
        return 0.5 * squared * torch.log(squared + 1e-12)

    system = torch.zeros(num + 3, num + 3, dtype=torch.float64)
    system[:num, :num] = kernel(ground, ground) + smoothing * 1e-2 * torch.eye(num, dtype=torch.float64)
    system[:num, num] = system[num, :num] = 1.0
    system[:num, num + 1 :], system[num + 1 :, :num] = ground, ground.T
    solution = torch.linalg.solve(system, torch.cat([wanted, torch.zeros(3, 2, dtype=torch.float64)]))
    # Single precision is enough to evaluate the spline, not to solve for it.
    solution = solution.float()
    cells = cell_centres(side).flatten(0, 1)
    moves = kernel(cells, ground.float()) @ solution[:num]
    moves += solution[num] + cells @ solution[num + 1 :]
    return (cells + moves).view(side, side, 2)


def bend(picture: Tensor, moved: Points, original: Points, *, spline_side: int) -> Tensor:
    """The picture with what was at `original` shown at `moved`; what comes in from outside repeats the edge.

    Args:
        picture: [3, R, R], any range.
        moved, original: [N, 2] pixels.
        spline_side: the spline is evaluated on so many cells a side and interpolated between.
    """
    side = picture.shape[-1]
    coarse = thin_plate_grid(moved * (2 / side) - 1, original * (2 / side) - 1, spline_side)
    # The displacement is smooth and may be interpolated; where it is none the picture stays to the pixel.
    moves = (coarse - cell_centres(spline_side)).permute(2, 0, 1)[None]
    moves = F.interpolate(moves, size=(side, side), mode="bicubic", align_corners=False)
    grid = cell_centres(side) + moves[0].permute(1, 2, 0)
    return F.grid_sample(picture[None], grid[None], padding_mode="border", align_corners=False)[0]
