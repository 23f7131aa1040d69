"""What E_style sees of a face crop: the face, as a rule with its mouth hidden, and the mouth alone (paper III.E).

The hidden rectangle is placed by the nose and the eyes, which do not move with speech: a mask that followed the chin
would itself tell how far the mouth is open, and lips would come from the style instead of from the sound.

Landmarks are the 68 points of iBUG in pixels of the square crop; P is the crop's side.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from talkface_core.style.encoder import FACE_PX, MOUTH_PX

NOSE_BASE = 33
OUTER_EYES = (36, 45)
MOUTH = slice(48, 68)

CROP_SIDE_PER_BOX = 0.97
"""Side of the square face crop per (width + height) of the box around the 68 points."""
CROP_RAISE_PER_BOX_HEIGHT = 0.22
"""The crop's centre lies this share of the box's height above the box's centre: hair above, collar below."""
MOUTH_SIDE = 77.0 / 256.0
"""Side of the mouth crop in crop sides."""
MASK_LEFT_RIGHT, MASK_TOP, MASK_BOTTOM = 0.62, 0.03, 1.12
"""Half width, top and bottom of the hidden rectangle, from the nose base, in distances between the outer eye corners.
Open jaws stay inside it."""


class SquareCrop(NamedTuple):
    """A square of the picture, in its pixels."""

    centre_x: float
    centre_y: float
    side: float


def face_crop(points: NDArray[np.float32]) -> SquareCrop:
    """The crop that every model here was trained on, from points [..., 68, 2] of one or many frames (their median)."""
    points = np.median(points.reshape(-1, 68, 2), axis=0)
    low, high = points.min(axis=0), points.max(axis=0)
    width, height = high - low
    centre = (low + high) / 2
    return SquareCrop(
        float(centre[0]),
        float(centre[1] - CROP_RAISE_PER_BOX_HEIGHT * height),
        float(CROP_SIDE_PER_BOX * (width + height)),
    )


def hide_mouth(faces: Tensor, points: Tensor, *, growth: float | Tensor = 1.0) -> Tensor:
    """Fill the mouth region flat.

    Args:
        faces: [N, 3, P, P] float32 in [-1, 1].
        points: [N, 68, 2] in pixels of the crop.
        growth: scales the rectangle; training draws it at random. Scalar or [N].

    Returns:
        [N, 3, P, P], zero inside the rectangle.
    """
    eyes = (points[:, OUTER_EYES[1]] - points[:, OUTER_EYES[0]]).norm(dim=-1)  # [N]
    x, y = points[:, NOSE_BASE].unbind(-1)
    side = faces.shape[-1]
    half_width = MASK_LEFT_RIGHT * eyes * growth
    top = y + MASK_TOP * eyes
    bottom = top + (MASK_BOTTOM - MASK_TOP) * eyes * growth
    position = torch.arange(side, device=faces.device) + 0.5
    column = (position - x[:, None]).abs() < half_width[:, None]  # [N, P]
    row = (position > top[:, None]) & (position < bottom[:, None])
    hidden = column[:, None, :] & row[:, :, None]  # [N, P, P]
    return faces.masked_fill(hidden[:, None], 0.0)


def crop_mouth(faces: Tensor, points: Tensor) -> Tensor:
    """Cut the mouth out: [N, 3, P, P] and [N, 68, 2] -> [N, 3, 64, 64]."""
    size = faces.shape[-1]
    centre = points[:, MOUTH].mean(dim=1) / size * 2 - 1  # [N, 2] in [-1, 1] of the crop
    grid = (torch.arange(MOUTH_PX, device=faces.device) + 0.5) / MOUTH_PX * 2 - 1
    across = grid * MOUTH_SIDE
    x = centre[:, 0, None, None] + across[None, None, :].expand(-1, MOUTH_PX, -1)
    y = centre[:, 1, None, None] + across[None, :, None].expand(-1, -1, MOUTH_PX)
    where = torch.stack([x.expand_as(y), y.expand_as(x)], dim=-1)  # [N, 64, 64, 2]
    return F.grid_sample(faces, where, mode="bilinear", padding_mode="border", align_corners=False)


def style_input(
    crops: Tensor, points: Tensor, *, mask_mouth: bool, growth: float | Tensor = 1.0
) -> tuple[Tensor, Tensor]:
    """Both inputs of E_style; called by `talkface_core.style.path` alone.

    Args:
        crops: [N, 3, P, P] float32 RGB in [-1, 1], cut with `face_crop`.
        points: [N, 68, 2] in pixels of the crop.
        mask_mouth: hide the mouth from the base layer.
        growth: of the hidden rectangle, scalar or [N].

    Returns:
        faces [N, 3, 128, 128], mouths [N, 3, 64, 64].
    """
    faces = F.interpolate(crops, (FACE_PX, FACE_PX), mode="area")
    if mask_mouth:
        faces = hide_mouth(faces, points * (FACE_PX / crops.shape[-1]), growth=growth)
    return faces, crop_mouth(crops, points)
