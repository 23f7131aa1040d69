"""Cutting square crops around faces and putting them back: FFHQ alignment, cutting, paste-back.

FFHQ alignment follows Karras et al. (CVPR 2019, appendix C): a square turned with the eyes, sized by eyes and mouth.
The upright crop that style and training use is `talkface_core.style.input.face_crop`.

Shapes: points [68, 2] in pixels of the picture; (0, 0) is the outer corner of the top-left pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from talkface_core.tracking.landmarks import LEFT_EYE, MOUTH, NUM_POINTS, RIGHT_EYE

NETWORK_SIDE_FACTOR = 1.6
"""Side of the landmark network's crop over the longer side of the box."""


@dataclass(frozen=True, slots=True)
class CropSquare:
    """A square of a picture, possibly turned and possibly beyond the picture's border."""

    centre_x: float
    centre_y: float
    axis_x: float
    axis_y: float
    """(axis_x, axis_y) points from the centre to the middle of the right side, in pixels."""

    @classmethod
    def upright(cls, centre_x: float, centre_y: float, side: float) -> CropSquare:
        return cls(centre_x, centre_y, side / 2, 0.0)

    @property
    def side(self) -> float:
        """Side length in pixels of the picture."""
        return 2 * float(np.hypot(self.axis_x, self.axis_y))

    def corners(self) -> NDArray[np.float64]:
        """[4, 2] top-left, bottom-left, bottom-right, top-right: the order of FFHQ's `quad`."""
        centre = np.array([self.centre_x, self.centre_y])
        right = np.array([self.axis_x, self.axis_y])
        down = np.array([-self.axis_y, self.axis_x])
        return np.stack([centre - right - down, centre - right + down, centre + right + down, centre + right - down])

    def to_picture(self, points: NDArray[np.floating], crop_px: float) -> NDArray[np.float64]:
        """Points [..., 2] in pixels of the crop (side `crop_px`) to pixels of the picture."""
        u, v = (np.asarray(points, dtype=np.float64)[..., i] * (2 / crop_px) - 1 for i in (0, 1))
        x = self.centre_x + u * self.axis_x - v * self.axis_y
        y = self.centre_y + u * self.axis_y + v * self.axis_x
        return np.stack([x, y], axis=-1)

    def to_crop(self, points: NDArray[np.floating], crop_px: float) -> NDArray[np.float64]:
        """Points [..., 2] in pixels of the picture to pixels of the crop."""
        points = np.asarray(points, dtype=np.float64)
        dx, dy = points[..., 0] - self.centre_x, points[..., 1] - self.centre_y
        length = self.axis_x**2 + self.axis_y**2
        u = (dx * self.axis_x + dy * self.axis_y) / length
        v = (-dx * self.axis_y + dy * self.axis_x) / length
        return np.stack([u + 1, v + 1], axis=-1) * (crop_px / 2)


def _check_points(points: NDArray[np.floating]) -> NDArray[np.float64]:
    checked: NDArray[np.float64] = np.array(points, dtype=np.float64)
    if checked.shape != (NUM_POINTS, 2):
        raise ValueError(f"points must be [68, 2], got {list(checked.shape)}")
    if not np.isfinite(checked).all():
        raise ValueError("points hold NaN or infinity: leave out frames without a face")
    return checked


def ffhq_square(points: NDArray[np.floating]) -> CropSquare:
    """The FFHQ crop of one face, from [68, 2] points in pixels."""
    points = _check_points(points)
    right_eye, left_eye = points[list(RIGHT_EYE)].mean(axis=0), points[list(LEFT_EYE)].mean(axis=0)
    eyes = (right_eye + left_eye) / 2
    mouth = (points[MOUTH[0]] + points[MOUTH[6]]) / 2  # the corners
    eye_to_eye, eye_to_mouth = left_eye - right_eye, mouth - eyes
    axis = eye_to_eye - np.array([-eye_to_mouth[1], eye_to_mouth[0]])
    length = float(np.hypot(*axis))
    if length < 1e-6:
        raise ValueError("eyes and mouth coincide: these are not landmarks of a face")
    axis *= max(float(np.hypot(*eye_to_eye)) * 2.0, float(np.hypot(*eye_to_mouth)) * 1.8) / length
    centre = eyes + eye_to_mouth * 0.1
    return CropSquare(float(centre[0]), float(centre[1]), float(axis[0]), float(axis[1]))


def box_square(centre: tuple[float, float], side: float) -> CropSquare:
    """The landmark network's crop around a box of the 68 points with this centre and longer side."""
    return CropSquare.upright(centre[0], centre[1], max(side * NETWORK_SIDE_FACTOR, 1.0))


def cut(frame: NDArray[np.uint8], square: CropSquare, crop_px: int) -> NDArray[np.uint8]:
    """The square's pixels, [crop_px, crop_px, 3] uint8; the border is repeated outside the picture.

    Args:
        frame: [H, W, 3] uint8 RGB.
    """
    return tensor_to_pixels(cut_tensor(pixels_to_tensor(frame), square, crop_px))


def cut_tensor(picture: torch.Tensor, square: CropSquare, crop_px: int) -> torch.Tensor:
    """As `cut`, for [1, 3, H, W] uint8 or float of any range, to float; differentiable."""
    height, width = picture.shape[2:]
    x, y = square.centre_x, square.centre_y
    reach = abs(square.axis_x) + abs(square.axis_y) + max(2.0, 2 * square.side / crop_px)
    # Only the part that can be seen, reduced first where the crop is much smaller: no aliasing, and fast.
    left, right = int(np.clip(x - reach, 0, width - 1)), int(np.clip(x + reach, 1, width))
    top, bottom = int(np.clip(y - reach, 0, height - 1)), int(np.clip(y + reach, 1, height))
    part = picture[:, :, top : max(bottom, top + 1), left : max(right, left + 1)]
    size_px = part.shape[2:]
    factor = crop_px / square.side
    if factor < 0.75:
        small = [max(1, round(n * factor)) for n in size_px]
        part = F.interpolate(part, size=small, mode="bilinear", antialias=True, align_corners=False)
    part = part.float()
    scale = torch.tensor([2 / size_px[1], 2 / size_px[0]], dtype=torch.float64)
    matrix = torch.tensor(
        [[square.axis_x, -square.axis_y, x - left], [square.axis_y, square.axis_x, y - top]], dtype=torch.float64
    )
    theta = matrix * scale[:, None]
    theta[:, 2] -= 1
    # What F.affine_grid computes, in a fifth of its time: this runs twice per camera picture.
    along = (torch.arange(crop_px, device=part.device) + 0.5) * (2 / crop_px) - 1
    grid = part.new_empty(1, crop_px, crop_px, 2)
    for axis, (of_x, of_y, offset) in enumerate(theta.tolist()):
        torch.add(of_x * along + offset, (of_y * along)[:, None], out=grid[0, :, :, axis])
    return F.grid_sample(part, grid, mode="bilinear", padding_mode="border", align_corners=False)


def paste(
    frame: NDArray[np.uint8], crop: NDArray[np.uint8], square: CropSquare, *, feather: float = 0.08
) -> NDArray[np.uint8]:
    """A copy of the picture with a crop put back where it was cut.

    Args:
        frame: [H, W, 3] uint8.
        crop: [S, S, 3] uint8.
        feather: share of the crop's side over which it fades out at its border, 0..0.5.
    """
    if not 0 <= feather <= 0.5:
        raise ValueError(f"feather must be 0..0.5, got {feather}")
    crop_px, (height, width) = crop.shape[0], frame.shape[:2]
    low, high = square.corners().min(axis=0), square.corners().max(axis=0)
    left, top = (int(v) for v in np.clip(np.floor(low), 0, [width, height]))
    right, bottom = (int(v) for v in np.clip(np.ceil(high), 0, [width, height]))
    out = frame.copy()
    if right <= left or bottom <= top:
        return out
    y, x = np.mgrid[top:bottom, left:right] + 0.5
    place = square.to_crop(np.stack([x, y], axis=-1), crop_px) * (2 / crop_px) - 1  # [h, w, 2] in -1..1
    source = pixels_to_tensor(crop).float()
    factor = int(crop_px / square.side)
    if factor > 1:
        source = F.interpolate(source, scale_factor=1 / factor, mode="area")
    grid = torch.from_numpy(place)[None].to(source)
    pixels = F.grid_sample(source, grid, mode="bilinear", padding_mode="border", align_corners=False)
    inside = 1 - np.abs(place).max(axis=2)  # distance to the border, in half sides
    weight = np.clip(inside / (2 * feather), 0, 1) if feather else (inside >= 0).astype(np.float64)
    new = pixels[0].permute(1, 2, 0).numpy()
    mixed = new * weight[..., None] + out[top:bottom, left:right] * (1 - weight[..., None])
    out[top:bottom, left:right] = np.rint(mixed).clip(0, 255).astype(np.uint8)
    return out


def pixels_to_tensor(frame: NDArray[np.uint8]) -> torch.Tensor:
    """[H, W, 3] uint8 to [1, 3, H, W] uint8, without a copy where possible."""
    pixels = np.ascontiguousarray(frame)
    # torch wants arrays it may write to, although nobody does.
    pixels = pixels if pixels.flags.writeable else pixels.copy()
    return torch.from_numpy(pixels).permute(2, 0, 1)[None]


def tensor_to_pixels(picture: torch.Tensor) -> NDArray[np.uint8]:
    """[1, 3, H, W] in 0..255 to [H, W, 3] uint8."""
    return picture[0].permute(1, 2, 0).round().clamp(0, 255).to(torch.uint8).numpy()
