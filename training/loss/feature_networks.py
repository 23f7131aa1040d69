"""Frozen networks that losses look through: perceptual (eq. 8), landmarks (eq. 10), the lip expert (eq. 11)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from talkface_core.tracking.landmarks import CROP_PX, LandmarkNet, load_landmark_net
from training.config import LossConfig
from training.loss.perceptual import Vgg16Features

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
        return self.points_and_score(frames)[0]

    def points_and_score(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """As `points`, and [N] how sure the network is that the frame shows a face, without gradient."""
        assert self.landmarks is not None
        output = self.landmarks(_to_crop(frames))
        return (output.points + 1) / 2, output.score.detach()


def _to_crop(frames: Tensor) -> Tensor:
    if frames.shape[-1] == CROP_PX:
        return frames
    mode = "area" if frames.shape[-1] > CROP_PX else "bilinear"
    return F.interpolate(frames, size=(CROP_PX, CROP_PX), mode=mode)


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
            uses_file = loss.perceptual_backend == "vgg16"
            perceptual = Vgg16Features(Path(loss.vgg16_weights) if uses_file else None).to(device)
    return FeatureNetworks(landmarks, perceptual, lip_expert if loss.contrastive > 0 else None)
