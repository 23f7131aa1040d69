"""EfficientNet-Lite0 with ImageNet weights: features that compare pictures of anything, and a class to check them by.

Tan and Le, "EfficientNet" (ICML 2019); Lite: no squeeze-and-excitation, ReLU6, stem and head of fixed width. Its early
stages serve as a perceptual distance where VGG-16's file is absent, its stages as the frozen projector of a projected
discriminator (Sauer et al., NeurIPS 2021), and its pooled features in a Fréchet distance of its own name.

Batch norms are folded into the convolutions. Shapes: N pictures of H x W.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from talkface_core.face_assets import load_asset
from talkface_core.module_fill import fill_module

KIND = "efficientnet_lite0"
CODE_VERSION = 1
NUM_FEATURES = 1280
NUM_CLASSES = 1000
_NORM_EPSILON = 1e-3
_STEM_CHANNELS = 32


@dataclass(frozen=True, slots=True)
class Stage:
    """A run of blocks that work on one resolution."""

    kernel: int
    stride: int
    expansion: int
    channels: int
    repeats: int


STAGES = (
    Stage(3, 1, 1, 16, 1),
    Stage(3, 2, 6, 24, 2),
    Stage(5, 2, 6, 40, 2),
    Stage(3, 2, 6, 80, 3),
    Stage(5, 1, 6, 112, 3),
    Stage(5, 2, 6, 192, 4),
    Stage(3, 1, 6, 320, 1),
)
STAGE_STRIDES = (2, 4, 8, 16, 16, 32, 32)
"""Pixels of the picture per cell of each stage's map."""


class SameConv2d(nn.Conv2d):
    """Convolution with TensorFlow's "same" padding: an odd pixel goes to the right and below."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(in_channels, out_channels, kernel, stride, kernel // 2 if stride == 1 else 0, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        (stride, _), (kernel, _) = self.stride, self.kernel_size
        if stride > 1:
            height, width = (max((-(-s // stride) - 1) * stride + kernel - s, 0) for s in x.shape[2:])
            x = F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
        return super().forward(x)


class InvertedResidual(nn.Module):
    """Widen by 1x1, filter each channel by itself, narrow by 1x1 (Sandler et al., MobileNetV2)."""

    def __init__(self, in_channels: int, stage: Stage, *, first: bool) -> None:
        super().__init__()
        wide = in_channels * stage.expansion
        self.expand = SameConv2d(in_channels, wide, 1) if stage.expansion > 1 else None
        self.depthwise = SameConv2d(wide, wide, stage.kernel, stage.stride if first else 1, groups=wide)
        self.project = SameConv2d(wide, stage.channels, 1)
        self.has_shortcut = not first

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.has_shortcut else y


class EfficientNetLite0(nn.Module):
    """Pictures to maps, pooled features and class logits."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv2d(3, _STEM_CHANNELS, 3, stride=2)
        self.stages = nn.ModuleList()
        channels = _STEM_CHANNELS
        for stage in STAGES:
            blocks = []
            for index in range(stage.repeats):
                blocks.append(InvertedResidual(channels, stage, first=index == 0))
                channels = stage.channels
            self.stages.append(nn.Sequential(*blocks))
        self.head = SameConv2d(channels, NUM_FEATURES, 1)
        self.fc = nn.Linear(NUM_FEATURES, NUM_CLASSES)

    def maps(self, pictures: Tensor, num_stages: int = len(STAGES)) -> list[Tensor]:
        """Maps at the end of the first `num_stages` stages, at `STAGE_STRIDES`.

        Args:
            pictures: [N, 3, H, W] RGB in [-1, 1].

        Returns:
            [N, C, ceil(H / stride), ceil(W / stride)] with C of `STAGES`.
        """
        # The network was trained on (levels - 127) / 128.
        x = F.relu6(self.stem(pictures * (127.5 / 128) + 0.5 / 128))
        found = []
        for stage in list(self.stages)[:num_stages]:
            x = stage(x)
            found.append(x)
        return found

    def pooled(self, pictures: Tensor) -> Tensor:
        """[N, 3, H, W] in [-1, 1] to [N, 1280], the mean of the last map. Trained at 224 x 224."""
        features: Tensor = F.relu6(self.head(self.maps(pictures)[-1])).mean(dim=(2, 3))
        return features

    def forward(self, pictures: Tensor) -> Tensor:
        """[N, 3, H, W] in [-1, 1] to logits of ImageNet's classes [N, 1000]."""
        logits: Tensor = self.fc(self.pooled(pictures))
        return logits


def load_efficientnet(name_or_path: str = "efficientnet_lite0") -> EfficientNetLite0:
    """The shipped network; on the CPU, its weights frozen.

    Raises:
        talkface_core.errors.WeightsError: the file is missing, damaged, or another network's.
    """
    _, tensors = load_asset(name_or_path, kind=KIND, code_version=CODE_VERSION)
    network = EfficientNetLite0()
    fill_module(network, _folded(tensors), f"EfficientNet-Lite0 weights {name_or_path}", "reinstall talkface")
    return network.eval().requires_grad_(False)


def _folded(source: dict[str, Tensor]) -> dict[str, Tensor]:
    """The file's tensors under this module's names, each batch norm within its convolution."""
    names = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
    block = 0
    for stage_index, stage in enumerate(STAGES):
        for index in range(stage.repeats):
            own, theirs = f"stages.{stage_index}.{index}", f"_blocks.{block}"
            if stage.expansion > 1:
                names[f"{own}.expand"] = (f"{theirs}._expand_conv", f"{theirs}._bn0")
            names[f"{own}.depthwise"] = (f"{theirs}._depthwise_conv", f"{theirs}._bn1")
            names[f"{own}.project"] = (f"{theirs}._project_conv", f"{theirs}._bn2")
            block += 1
    state = {"fc.weight": source["_fc.weight"], "fc.bias": source["_fc.bias"]}
    for own, (conv, norm) in names.items():
        scale = source[f"{norm}.weight"] * torch.rsqrt(source[f"{norm}.running_var"] + _NORM_EPSILON)
        state[f"{own}.weight"] = source[f"{conv}.weight"] * scale[:, None, None, None]
        state[f"{own}.bias"] = source[f"{norm}.bias"] - source[f"{norm}.running_mean"] * scale
    return state
