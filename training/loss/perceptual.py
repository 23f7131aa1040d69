"""Feature networks that compare pictures by what they show (paper III.D and eq. 8).

VGG-16's last convolution is the paper's choice; its ImageNet weights come from a file. Without one, the encoder of our
own landmark network stands in: it knows faces and nothing else, so callers add a pixel term for hair and background.

Shapes: B pictures of R x R, values in [-1, 1].
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from talkface_core.errors import WeightsError
from talkface_core.module_fill import fill_module
from talkface_core.tracking.landmarks import CROP_PX, LandmarkNet, load_landmark_net

VGG16_FILE_NAME = "vgg16-397923af.pth"
"""torchvision's name for the ImageNet weights; also the name in torch's cache."""
VGG_PX = 224
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


class FeatureNetwork(Protocol):
    """Maps of pictures; differentiable, frozen."""

    name: str
    """For reports."""
    sees_everything: bool
    """False for a network that knows faces alone."""

    def __call__(self, pictures: Tensor) -> list[Tensor]:
        """[B, 3, R, R] in [-1, 1] -> feature maps, each [B, C, H, W]."""
        ...


class Vgg16Features(nn.Module):
    """Output of VGG-16's last convolution, conv5_3 before its ReLU (Simonyan and Zisserman, 2015).

    Args:
        weights: torchvision's file or any state dict with the same `features.*` tensors. None: seeded random weights,
            the same for everybody, which compare structure, if not meaning, and need no file (Liu et al., CVPR 2021).

    Raises:
        WeightsError: missing, damaged, or not VGG-16.
    """

    name: str
    sees_everything = True
    mean: Tensor
    std: Tensor

    def __init__(self, weights: Path | None) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layers = vgg16_convolutions()
        self.name = "VGG-16 conv5_3" if weights is not None else "random VGG-16 conv5_3"
        if weights is not None:
            self._load(weights)
        self.register_buffer("mean", torch.tensor(_IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(_IMAGENET_STD).view(1, 3, 1, 1))
        self.eval().requires_grad_(False)

    def _load(self, weights: Path) -> None:
        state = _read_state(weights)
        own = {n.removeprefix("features."): t for n, t in state.items() if n.startswith("features.")}
        fill_module(self.layers, own, f"{weights}: not VGG-16 weights: features", "download it again")

    def forward(self, pictures: Tensor) -> list[Tensor]:
        if pictures.shape[-1] > VGG_PX:
            pictures = F.interpolate(pictures, (VGG_PX, VGG_PX), mode="area")
        return [self.layers((pictures * 0.5 + 0.5 - self.mean) / self.std)]


def vgg16_convolutions() -> nn.Sequential:
    """Configuration D up to conv5_3, numbered as torchvision's `features`; ours alone, because torchvision's class
    first fills a classifier of 120 million values that is thrown away."""
    layers: list[nn.Module] = []
    channels = 3
    for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers[:-2])


class LandmarkFeatures(nn.Module):
    """Encoder maps of our landmark network at five resolutions, each scaled to unit mean square over a picture."""

    name = "landmark network"
    sees_everything = False

    def __init__(self, net: LandmarkNet | None = None) -> None:
        super().__init__()
        self.net = (load_landmark_net() if net is None else net).eval().requires_grad_(False)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        if pictures.shape[-1] != CROP_PX:
            pictures = F.interpolate(pictures, (CROP_PX, CROP_PX), mode="bilinear", antialias=True, align_corners=False)
        return list(self.net.encode(pictures))


def vgg16_in_torch_cache() -> Path | None:
    """The file that torchvision has downloaded for this user before, if any."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / VGG16_FILE_NAME
    return path if path.exists() else None


def choose_feature_network(vgg16: Path | None = None) -> Vgg16Features | LandmarkFeatures:
    """VGG-16 from the given file or from torch's cache; where there is neither, our landmark network.

    Raises:
        WeightsError: the given file is not VGG-16.
    """
    path = vgg16 or vgg16_in_torch_cache()
    return LandmarkFeatures() if path is None else Vgg16Features(path)


def feature_distance(a: list[Tensor], b: list[Tensor]) -> Tensor:
    """Mean over maps of the squared difference, relative to the mean square of `b`: scalar per batch row, [B].

    Eq. 8 compares with an L2 norm; dividing by the target's own energy makes maps of different networks and depths
    comparable.
    """
    terms = []
    for x, y in zip(a, b, strict=True):
        energy = y.square().mean(dim=(1, 2, 3)).clamp_min(1e-8)
        terms.append((x - y).square().mean(dim=(1, 2, 3)) / energy)
    return torch.stack(terms).mean(0)


def _read_state(path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(
            f"{path}: cannot read the VGG-16 weights ({error.strerror}); `talkface weights fetch vgg16` gets them"
        ) from None
    except Exception as error:  # torch raises many types for damaged files; none has run foreign code
        reason = str(error).split("\n", 1)[0]
        raise WeightsError(f"{path}: not VGG-16 weights ({reason})") from None
    if not isinstance(state, dict):
        raise WeightsError(f"{path}: not VGG-16 weights (no state dict)")
    return {str(k): v for k, v in state.items() if isinstance(v, Tensor)}
