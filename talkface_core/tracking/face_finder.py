"""Finding faces in whole pictures of any size, with a tiny network of our own that needs nothing from outside.

One convolutional network looks at the picture at a few sizes; each cell of its stride-8 map says whether the centre
of a face is there, how large it is, and where in the cell (CenterNet, Zhou et al., 2019). Faces from about 8 % to
100 % of the picture's height are found. What is found is a box around the 68 points (jaw to brows), not the hair.

Shapes: H, W = picture; the network sees [1, 3, h, w] with h and w multiples of 64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from talkface_core.face_assets import load_asset
from talkface_core.module_fill import fill_module
from talkface_core.tracking.alignment import pixels_to_tensor
from talkface_core.tracking.landmarks import ConvBlock, ResidualBlock

CODE_VERSION = 1
STRIDE = 8
"""Pixels of the network's input per cell of its output."""
COARSE_PX, FINE_PX = 192, 448
"""Longer sides at which the picture is looked at: large faces in the coarse one, small ones in the fine one."""
MIN_SCORE = 0.5
MIN_PICTURE_PX = 16


@dataclass(frozen=True, slots=True)
class FaceBox:
    """A face in a picture: the box of its 68 points, in pixels of the picture, which it may leave."""

    x: float
    y: float
    width: float
    height: float
    score: float
    """0..1, how sure."""

    @property
    def centre(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y + self.height / 2

    @property
    def side(self) -> float:
        """The longer side."""
        return max(self.width, self.height)

    def overlap(self, other: FaceBox) -> float:
        """Intersection over union, 0..1."""
        width = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        height = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        shared = max(0.0, width) * max(0.0, height)
        return shared / (self.width * self.height + other.width * other.height - shared + 1e-9)


@dataclass(frozen=True, slots=True)
class FinderOutput:
    """Maps of the finder network, all [B, *, h/8, w/8]."""

    centre_logits: Tensor
    """[B, 1, ...] logit of a face's centre in the cell."""
    log_size: Tensor
    """[B, 2, ...] log of width and height in cells."""
    offset: Tensor
    """[B, 2, ...] x, y of the centre within the cell, 0..1."""


class FaceFinderNet(nn.Module):
    """Picture to centre map: encoder to stride 64, sums back to stride 8, one shared head.

    Args:
        widths: channels at strides 2, 4, 8, 16, 32 and 64.
        head_width: channels of the decoder.
    """

    downsampling_factor = 64

    def __init__(
        self, widths: tuple[int, int, int, int, int, int] = (16, 24, 40, 64, 72, 72), head_width: int = 40
    ) -> None:
        super().__init__()
        self.config = {"widths": list(widths), "head_width": head_width}
        c2, c4, c8, c16, c32, c64 = widths
        self.to8 = nn.Sequential(
            ConvBlock(3, c2, stride=2), ConvBlock(c2, c4, stride=2), ConvBlock(c4, c8, stride=2), ResidualBlock(c8)
        )
        self.to16 = nn.Sequential(ConvBlock(c8, c16, stride=2), ResidualBlock(c16))
        self.to32 = nn.Sequential(ConvBlock(c16, c32, stride=2), ResidualBlock(c32))
        self.to64 = nn.Sequential(ConvBlock(c32, c64, stride=2), ResidualBlock(c64))
        self.lateral = nn.ModuleList(nn.Conv2d(c, head_width, 1) for c in (c8, c16, c32, c64))
        self.merge = ConvBlock(head_width, head_width)
        self.head = nn.Conv2d(head_width, 5, 1)
        # Hardly any cell is a centre: start there, or the first steps only learn that.
        assert self.head.bias is not None
        with torch.no_grad():
            self.head.bias.zero_()[0] = -4.0

    def forward(self, pictures: Tensor) -> FinderOutput:
        """[B, 3, h, w] RGB in [-1, 1], h and w multiples of 64.

        Raises:
            ValueError: another shape.
        """
        if pictures.ndim != 4 or pictures.shape[1] != 3 or any(n % 64 for n in pictures.shape[2:]):
            raise ValueError(f"pictures must be [B, 3, 64*n, 64*m], got {list(pictures.shape)}")
        f8 = self.to8(pictures)
        f16 = self.to16(f8)
        f32 = self.to32(f16)
        sums = self.lateral[3](self.to64(f32))
        for lateral, level in zip(reversed(list(self.lateral)[:3]), (f32, f16, f8), strict=True):
            sums = F.interpolate(sums, scale_factor=2.0, mode="bilinear", align_corners=False) + lateral(level)
        maps = self.head(self.merge(sums)).float()
        return FinderOutput(maps[:, :1], maps[:, 1:3], maps[:, 3:5].sigmoid())


def decode_boxes(output: FinderOutput, min_score: float) -> list[FaceBox]:
    """Boxes of the first picture of a batch, in pixels of the network's input, best first."""
    heat = output.centre_logits[:1].sigmoid()
    peaks = (heat == F.max_pool2d(heat, 3, stride=1, padding=1)) & (heat >= min_score)
    boxes = []
    for row, column in torch.nonzero(peaks[0, 0]).tolist():
        width, height = (output.log_size[0, :, row, column].clamp(-2, 6).exp() * STRIDE).tolist()
        dx, dy = output.offset[0, :, row, column].tolist()
        x, y = (column + dx) * STRIDE - width / 2, (row + dy) * STRIDE - height / 2
        boxes.append(FaceBox(x, y, width, height, heat[0, 0, row, column].item()))
    return sorted(boxes, key=lambda box: -box.score)


def keep_separate(boxes: list[FaceBox], max_overlap: float = 0.35) -> list[FaceBox]:
    """Drop boxes that show the face of a better one again (greedy non-maximum suppression)."""
    kept: list[FaceBox] = []
    for box in sorted(boxes, key=lambda b: -b.score):
        if all(box.overlap(other) <= max_overlap for other in kept):
            kept.append(box)
    return kept


class FaceFinder:
    """Finds faces in single pictures; keeps no state between them.

    Args:
        net: trained network; the shipped one when None.
        min_score: boxes below are dropped.

    Raises:
        talkface_core.errors.WeightsError: the shipped weights are missing or damaged.
    """

    def __init__(self, net: FaceFinderNet | None = None, *, min_score: float = MIN_SCORE) -> None:
        self._net = load_finder_net() if net is None else net.eval()
        self._min_score = min_score

    @torch.inference_mode()
    def find(self, frame: NDArray[np.uint8], *, max_faces: int = 8, min_score: float | None = None) -> list[FaceBox]:
        """Faces in an RGB picture, best first.

        Args:
            frame: [H, W, 3] uint8, at least 16 pixels each way.
            min_score: this time, instead of the finder's own.

        Raises:
            ValueError: not such a picture.
        """
        check_picture(frame)
        picture = pixels_to_tensor(frame)
        boxes = []
        for longer_px in (COARSE_PX, FINE_PX):
            boxes += self._look(picture, longer_px, self._min_score if min_score is None else min_score)
        return keep_separate(boxes)[:max_faces]

    def _look(self, picture: Tensor, longer_px: int, min_score: float) -> list[FaceBox]:
        """One pass over [1, 3, H, W] uint8: longer side to `longer_px`, padded with grey, decoded, scaled back."""
        height, width = picture.shape[2:]
        scale = longer_px / max(height, width)
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        # torch scales bytes several times faster than floats.
        small = F.interpolate(picture, size=size, mode="bilinear", antialias=True, align_corners=False)
        small = small.float() / 127.5 - 1
        unit = self._net.downsampling_factor
        padded = F.pad(small, (0, -size[1] % unit, 0, -size[0] % unit))
        found = decode_boxes(self._net(padded), min_score)
        sx, sy = width / size[1], height / size[0]
        boxes = [FaceBox(b.x * sx, b.y * sy, b.width * sx, b.height * sy, b.score) for b in found]
        # Padding is not part of the picture.
        return [b for b in boxes if b.centre[0] < width and b.centre[1] < height]


def check_picture(frame: NDArray[np.uint8]) -> None:
    """Raise ValueError unless frame is an RGB picture [H, W, 3] uint8 of at least 16 x 16 pixels."""
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise ValueError(f"a picture must be [H, W, 3] uint8, got {list(frame.shape)} {frame.dtype}")
    if min(frame.shape[:2]) < MIN_PICTURE_PX:
        raise ValueError(f"a picture must be at least {MIN_PICTURE_PX} pixels each way, got {list(frame.shape[:2])}")


def load_finder_net(name_or_path: str = "face_finder") -> FaceFinderNet:
    """The shipped finder network, or one from a file; eval mode, CPU.

    Raises:
        talkface_core.errors.WeightsError: missing, damaged, or not a face finder.
    """
    config, tensors = load_asset(name_or_path, kind="face_finder", code_version=CODE_VERSION)
    net = FaceFinderNet(widths=tuple(config["widths"]), head_width=config["head_width"])
    fill_module(net, tensors, f"face finder weights {name_or_path}", "reinstall talkface")
    return net.eval().requires_grad_(False)
