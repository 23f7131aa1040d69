"""What E_style sees of a frame: the face with its mouth covered, and the mouth alone (recipe: lips from the sound).

Both are placed by eyes and nose only. A mask that followed lips or chin would tell with its own shape how far the
mouth is open, and the base layer would learn lips from that.

Shapes: N frames of R x R pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from talkface_core.style_encoder import FACE_PX, MOUTH_PX

# In units of the face's size s (outer eye corners' distance), along and across the line of the eyes, from its middle.
_MASK_HALF_WIDTH = 0.85
_MASK_TOP = 0.62
_MASK_BOTTOM = 1.9
_MOUTH_CENTRE = 1.0
_MOUTH_HALF_SIDE = 0.6


def face_axes(points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Middle of the eyes, unit vector from the person's right to left eye, and face size, from rigid points.

    Args:
        points: [N, 68, 2] pixels.

    Returns:
        origin [N, 2], right [N, 2], size [N] in pixels.
    """
    first = points[:, (36, 39)].mean(1)
    second = points[:, (42, 45)].mean(1)
    origin = (first + second) / 2
    across = points[:, 45] - points[:, 36]
    # A turned head shortens the eyes' distance but not the nose's length.
    nose = (points[:, 33] - origin).norm(dim=1)
    width = across.norm(dim=1)
    size = torch.maximum(width, 1.5 * nose).clamp_min(1.0)
    return origin, across / width.clamp_min(1e-3)[:, None], size


def mouth_cover(points: Tensor, resolution_px: int, scale: Tensor | float = 1.0) -> Tensor:
    """Where mouth and chin may be, whatever they do: [N, 1, R, R] float, 1 within.

    Args:
        points: [N, 68, 2] pixels of an R x R frame.
        scale: enlarges the covered part; [N] or one number.
    """
    origin, right, size = face_axes(points)
    centres = torch.arange(resolution_px, device=points.device, dtype=points.dtype) + 0.5
    x = centres[None, None, :] - origin[:, 0, None, None]
    y = centres[None, :, None] - origin[:, 1, None, None]
    unit = size[:, None, None]
    along = (x * right[:, 0, None, None] + y * right[:, 1, None, None]) / unit  # [N, R, R]
    down = (-x * right[:, 1, None, None] + y * right[:, 0, None, None]) / unit
    grow = torch.as_tensor(scale, device=points.device, dtype=points.dtype).reshape(-1, 1, 1)
    middle, half = (_MASK_TOP + _MASK_BOTTOM) / 2, (_MASK_BOTTOM - _MASK_TOP) / 2
    # Growing downwards and sideways only: the nose's tip tells about the pose and stays.
    inside = (along.abs() <= _MASK_HALF_WIDTH * grow) & (down >= _MASK_TOP) & (down <= middle + half * grow)
    return inside.float()[:, None]


def style_pictures(
    frames: Tensor, points: Tensor, *, cover_scale: Tensor | float = 1.0, covered: bool = True
) -> tuple[Tensor, Tensor]:
    """Pictures for `StyleEncoder`.

    Args:
        frames: [N, 3, R, R] float RGB in [-1, 1], the face crop.
        points: [N, 68, 2] pixels of those frames.
        cover_scale: enlargement of the covered part; training draws it at random.
        covered: False leaves the mouth visible (the paper).

    Returns:
        faces [N, 3, 128, 128] with the mouth flat, mouths [N, 3, 64, 64].
    """
    resolution = frames.shape[-1]
    if resolution == FACE_PX:
        faces = frames
    else:
        faces = F.interpolate(frames, size=(FACE_PX, FACE_PX), mode="bilinear", align_corners=False, antialias=True)
    if covered:
        faces = faces * (1 - mouth_cover(points * (FACE_PX / resolution), FACE_PX, cover_scale))
    return faces, mouth_crop(frames, points, MOUTH_PX)


def mouth_crop(frames: Tensor, points: Tensor, size_px: int) -> Tensor:
    """Upright square around the mouth's place, differentiable in `frames`: [N, 3, size_px, size_px]."""
    resolution = frames.shape[-1]
    origin, right, size = face_axes(points)
    down = torch.stack([-right[:, 1], right[:, 0]], dim=1)
    centre = origin + down * (_MOUTH_CENTRE * size)[:, None]
    half = _MOUTH_HALF_SIDE * size
    # affine_grid works in [-1, 1] with -1 at the outer edge of the first pixel: p = 2 x / R - 1.
    matrix = torch.stack([right * half[:, None], down * half[:, None], centre], dim=2) * (2 / resolution)
    matrix = torch.cat([matrix[:, :, :2], matrix[:, :, 2:] - 1], dim=2)  # [N, 2, 3]
    grid = F.affine_grid(matrix.to(frames.dtype), [frames.shape[0], 3, size_px, size_px], align_corners=False)
    return F.grid_sample(frames, grid, mode="bilinear", padding_mode="border", align_corners=False)
