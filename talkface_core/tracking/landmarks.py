"""Our own differentiable 68-point face landmark network, with a face score (paper III.G, equation 10).

A small convolutional encoder-decoder draws one heat map per point; the mean of a heat map is the point ("integral
regression", Sun et al., ECCV 2018), so the network has gradients everywhere and follows a shifted face by design.
A second head says what the crop holds: no face, a badly framed face, or a face. The encoder's maps may serve as
features for a perceptual loss (paper equation 8) that knows faces.

Shapes: B crops; S = crop side, a multiple of 32 (128 by default); points in [-1, 1], (-1, -1) being the outer corner
of the top-left pixel and (1, 1) that of the bottom-right one (torch's `align_corners=False`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from talkface_core.face_assets import load_asset
from talkface_core.module_fill import fill_module

NUM_POINTS = 68
CROP_PX = 128
"""Side of the crop the network was trained on."""
CODE_VERSION = 1

# The iBUG 68-point scheme by parts.
JAW = range(17)
BROWS = range(17, 27)
NOSE = range(27, 36)
EYES = range(36, 48)
RIGHT_EYE = range(36, 42)
"""The person's right eye: on the left of the picture."""
LEFT_EYE = range(42, 48)
MOUTH = range(48, 68)
OUTER_LIPS = range(48, 60)
INNER_LIPS = range(60, 68)
OUTER_EYE_CORNERS = (36, 45)

MIRROR = (
    *range(16, -1, -1),
    *range(26, 16, -1),
    *(27, 28, 29, 30, 35, 34, 33, 32, 31),
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65),
)
"""MIRROR[i] is the point that point i becomes when the picture is flipped left to right."""


class Framing(IntEnum):
    """Classes of the score head."""

    NO_FACE = 0
    BADLY_FRAMED = 1
    """A face is there but much too large, too small, or cut off by the crop: find it again."""
    FACE = 2


@dataclass(frozen=True, slots=True)
class LandmarkOutput:
    """What the network says about a batch of crops."""

    points: Tensor
    """[B, 68, 2] x, y in [-1, 1] of the crop; within the crop by construction."""
    framing_logits: Tensor
    """[B, 3], see `Framing`."""
    log_heatmaps: Tensor
    """[B, 68, S/4, S/4] log of heat maps that each sum to 1."""
    features: tuple[Tensor, ...] = ()
    """Encoder maps at S/2, S/4, S/8, S/16, S/32 when asked for."""

    @property
    def score(self) -> Tensor:
        """[B] probability of a well framed face."""
        return self.framing_logits.softmax(dim=1)[:, Framing.FACE]


class ConvBlock(nn.Sequential):
    """Convolution, batch norm, ReLU."""

    def __init__(self, num_in: int, num_out: int, *, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(num_in, num_out, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(num_out),
            nn.ReLU(inplace=False),
        )


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.first = ConvBlock(num_channels, num_channels)
        self.second = nn.Conv2d(num_channels, num_channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(num_channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.norm(self.second(self.first(x))))


class LandmarkNet(nn.Module):
    """Crop to 68 points, framing class and features.

        [3, S] -> 24 @ S/2 -> 32 @ S/4 -> 64 @ S/8 -> 96 @ S/16 -> 96 @ S/32
                                 |           |           |           |
                                 +-- sum ----+-- sum ----+-- sum ----+--> mean -> framing
                                 |
                                48 @ S/4 -> 68 heat maps -> points

    Args:
        widths: channels at S/2 to S/32.
        head_width: channels of the decoder.
    """

    downsampling_factor = 32

    def __init__(
        self,
        widths: tuple[int, int, int, int, int] = (24, 32, 64, 96, 96),
        head_width: int = 48,
    ) -> None:
        super().__init__()
        self.config = {"widths": list(widths), "head_width": head_width}
        c2, c4, c8, c16, c32 = widths
        self.stem = ConvBlock(3, c2, stride=2)
        self.to4 = nn.Sequential(ConvBlock(c2, c4, stride=2), ResidualBlock(c4))
        self.to8 = nn.Sequential(ConvBlock(c4, c8, stride=2), ResidualBlock(c8), ResidualBlock(c8))
        self.to16 = nn.Sequential(ConvBlock(c8, c16, stride=2), ResidualBlock(c16), ResidualBlock(c16))
        self.to32 = nn.Sequential(ConvBlock(c16, c32, stride=2), ResidualBlock(c32))
        # The whole crop decides where a hidden point is: a pooled vector joins the coarsest map.
        self.context = nn.Sequential(nn.Linear(c32, c32), nn.ReLU())
        self.lateral = nn.ModuleList(nn.Conv2d(c, head_width, 1) for c in (c4, c8, c16, c32))
        self.merge = ConvBlock(head_width, head_width)
        self.heat = nn.Conv2d(head_width, NUM_POINTS, 1)
        self.framing = nn.Linear(c32, len(Framing))

    def encode(self, crops: Tensor) -> tuple[Tensor, ...]:
        """[B, 3, S, S] in [-1, 1] to five maps at S/2 to S/32; the perceptual features."""
        f2 = self.stem(crops)
        f4 = self.to4(f2)
        f8 = self.to8(f4)
        f16 = self.to16(f8)
        return f2, f4, f8, f16, self.to32(f16)

    def forward(self, crops: Tensor, *, with_features: bool = False) -> LandmarkOutput:
        """Find the points in face crops.

        Args:
            crops: [B, 3, S, S] RGB in [-1, 1], float; the face (jaw to brows) fills about 0.4 to 0.9 of the side.

        Raises:
            ValueError: the shape is not [B, 3, S, S] with S a multiple of 32.
        """
        if crops.ndim != 4 or crops.shape[1] != 3 or crops.shape[2] != crops.shape[3]:
            raise ValueError(f"crops must be [B, 3, S, S], got {list(crops.shape)}")
        if crops.shape[3] % self.downsampling_factor:
            raise ValueError(f"the crop side must be a multiple of 32, got {crops.shape[3]}")
        maps = self.encode(crops)
        pooled = self.context(maps[-1].mean(dim=(2, 3)))
        top = maps[-1] + pooled[:, :, None, None]
        # Coarse to fine: upsample by 2 and add.
        sums = self.lateral[3](top)
        for lateral, level in zip(reversed(list(self.lateral)[:3]), (maps[3], maps[2], maps[1]), strict=True):
            sums = F.interpolate(sums, scale_factor=2.0, mode="bilinear", align_corners=False) + lateral(level)
        heat = at_least_float32(self.heat(self.merge(sums)))  # [B, 68, S/4, S/4]
        log_heat = heat.flatten(2).log_softmax(dim=2).view_as(heat)
        return LandmarkOutput(
            points=heatmap_mean(log_heat.exp()),
            framing_logits=at_least_float32(self.framing(pooled)),
            log_heatmaps=log_heat,
            features=maps if with_features else (),
        )


def at_least_float32(x: Tensor) -> Tensor:
    """Half precision to float32: means of heat maps need the mantissa. Double stays double."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def cell_centres(num_cells: int, like: Tensor) -> Tensor:
    """[num_cells] centres of equal cells of [-1, 1], on the device and with the dtype of `like`."""
    return (torch.arange(num_cells, device=like.device, dtype=like.dtype) * 2 + 1) / num_cells - 1


def heatmap_mean(heatmaps: Tensor) -> Tensor:
    """Expected position under heat maps that each sum to 1: [B, N, H, W] to [B, N, 2] in [-1, 1]."""
    x = (heatmaps.sum(dim=2) * cell_centres(heatmaps.shape[3], heatmaps)).sum(dim=2)
    y = (heatmaps.sum(dim=3) * cell_centres(heatmaps.shape[2], heatmaps)).sum(dim=2)
    return torch.stack([x, y], dim=2)


def load_landmark_net(name_or_path: str = "landmarks") -> LandmarkNet:
    """The shipped landmark network, or one from a file; in eval mode, on the CPU, gradients to weights off.

    Raises:
        talkface_core.errors.WeightsError: the file is missing, damaged, or not a landmark network.
    """
    config, tensors = load_asset(name_or_path, kind="landmarks", code_version=CODE_VERSION)
    net = LandmarkNet(widths=tuple(config["widths"]), head_width=config["head_width"])
    fill_module(net, tensors, f"landmark weights {name_or_path}", "reinstall talkface")
    return net.eval().requires_grad_(False)
