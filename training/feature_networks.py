"""Frozen networks that losses look through: perceptual (eq. 8), landmarks (eq. 10), the lip expert (eq. 11)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from talkface_core.errors import WeightsError
from talkface_core.landmarks import CROP_PX, LandmarkNet, load_landmark_net
from training.config import LossConfig

PerceptualFeatures = Callable[[Tensor], list[Tensor]]
"""[N, 3, R, R] in [-1, 1] to feature maps [N, C, H, W]."""


class LipExpert(Protocol):
    """Frozen visual half of a lip expert."""

    def embed_lips(self, points: Tensor) -> Tensor:
        """[N, 5, 68, 2] points of five consecutive frames, in fractions of the crop's side, to [N, 128]."""
        ...


@dataclass(frozen=True, slots=True)
class FeatureNetworks:
    """What this run's losses need; None where the weight is 0."""

    landmarks: LandmarkNet | None = None
    perceptual: PerceptualFeatures | None = None
    lip_expert: LipExpert | None = None

    def points(self, frames: Tensor) -> Tensor:
        """[N, 3, r, r] in [-1, 1] to [N, 68, 2] in fractions of the frame's side, differentiable."""
        assert self.landmarks is not None
        points: Tensor = (self.landmarks(_to_crop(frames)).points + 1) / 2
        return points


def _to_crop(frames: Tensor) -> Tensor:
    if frames.shape[-1] == CROP_PX:
        return frames
    mode = "area" if frames.shape[-1] > CROP_PX else "bilinear"
    return F.interpolate(frames, size=(CROP_PX, CROP_PX), mode=mode)


class Vgg16Features(nn.Module):
    """Last convolution of VGG-16 (paper IV.C) on ImageNet-normalised frames."""

    mean: Tensor
    std: Tensor

    def __init__(self, weights: Path | None, seed: int = 0) -> None:
        """Load torchvision's file, or with None draw seeded random weights (a weaker, weight-free stand-in).

        Raises:
            WeightsError: the file is missing or is not VGG-16.
        """
        super().__init__()
        from torchvision.models import vgg16

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = vgg16(weights=None)
        if weights is not None:
            try:
                network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
            except Exception as error:  # torch raises a different type for each way in which a file can be wrong
                raise WeightsError(
                    f"{weights}: not VGG-16 weights ({type(error).__name__}: {str(error)[:200]}); give torchvision's "
                    "vgg16-397923af.pth, or choose --loss.perceptual_backend landmarks"
                ) from error
        # Up to the 13th convolution and its ReLU; the last pooling and the classifier are not needed.
        self.layers = network.features[:30].eval().requires_grad_(False)
        for module in self.layers:
            if isinstance(module, nn.ReLU):
                module.inplace = False
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))

    def forward(self, frames: Tensor) -> list[Tensor]:
        return [self.layers((((frames + 1) / 2) - self.mean) / self.std)]


class LandmarkFeatures:
    """Encoder maps of the landmark network, each normalised per channel: it knows faces and punishes blur.

    A map's values are divided by their deviation over a frame of the true picture's scale, so that no map dominates.
    """

    def __init__(self, network: LandmarkNet) -> None:
        self._network = network

    def __call__(self, frames: Tensor) -> list[Tensor]:
        maps = self._network.encode(_to_crop(frames))
        return [m / (m.detach().square().mean(dim=(1, 2, 3), keepdim=True).sqrt() + 1e-3) for m in maps[:4]]


def load_feature_networks(
    loss: LossConfig, device: torch.device, lip_expert: LipExpert | None = None
) -> FeatureNetworks:
    """Load what the weights λ ask for.

    Raises:
        talkface_core.errors.WeightsError: a file is missing or wrong.
    """
    uses_landmarks = loss.sync > 0 or (loss.perceptual > 0 and loss.perceptual_backend == "landmarks")
    landmarks = load_landmark_net().to(device) if uses_landmarks or loss.contrastive > 0 else None
    perceptual: PerceptualFeatures | None = None
    if loss.perceptual > 0:
        if loss.perceptual_backend == "landmarks":
            assert landmarks is not None
            perceptual = LandmarkFeatures(landmarks)
        else:
            path = Path(loss.vgg16_weights) if loss.perceptual_backend == "vgg16" else None
            perceptual = Vgg16Features(path).to(device)
    return FeatureNetworks(landmarks, perceptual, lip_expert if loss.contrastive > 0 else None)
