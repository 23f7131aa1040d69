"""Frozen networks that losses look through: perceptual (eq. 8), landmarks (eq. 10), lip expert (eq. 11), recogniser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from talkface_core.judges.efficientnet import load_efficientnet
from talkface_core.judges.face_recognition import KIND, FaceRecogniser, load_face_recogniser
from talkface_core.tracking.landmarks import CROP_PX, LandmarkNet, load_landmark_net
from training.loss.config import LossConfig
from training.loss.judged import EfficientNetDistance, FaceMapDistance
from training.loss.paper import perceptual_loss
from training.loss.perceptual import Vgg16Features

PerceptualFeatures = Callable[[Tensor], list[Tensor]]
"""[N, 3, R, R] in [-1, 1] to feature maps [N, C, H, W]."""


class PerceptualDistance(Protocol):
    """How differently two pictures look to a frozen network; differentiable in the drawn one."""

    on_windows: bool
    """Whether a part of the picture without a face can be compared."""

    def __call__(self, real: Tensor, fake: Tensor, points: Tensor) -> Tensor:
        """Pictures [N, 3, r, r] in [-1, 1] and the true points [N, 68, 2] in fractions of the side to [N].

        With windows the points are those of the whole picture.
        """
        ...


class SquaredDistance:
    """Equation 8: mean square error of feature maps, summed over the maps."""

    on_windows = False

    def __init__(self, features: PerceptualFeatures) -> None:
        self._features = features

    def __call__(self, real: Tensor, fake: Tensor, points: Tensor) -> Tensor:
        """Pictures [N, 3, r, r] to [N]; the points are not needed."""
        with torch.no_grad():
            target = self._features(real)
        return perceptual_loss(target, self._features(fake))


class LipExpert(Protocol):
    """Frozen visual half of a lip expert."""

    def embed_lips(self, points: Tensor) -> Tensor:
        """[N, 5, 68, 2] points of five consecutive frames, in fractions of the crop's side, to [N, 128]."""
        ...


@dataclass(frozen=True, slots=True)
class FeatureNetworks:
    """What this run's losses need; None where the weight is 0."""

    landmarks: LandmarkNet | None = None
    perceptual: PerceptualDistance | None = None
    lip_expert: LipExpert | None = None
    recogniser: FaceRecogniser | None = None

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
    recogniser = load_face_recogniser().to(device) if KIND in loss.networks() else None
    perceptual = _perceptual_distance(loss, device, landmarks, recogniser) if loss.perceptual > 0 else None
    return FeatureNetworks(
        landmarks,
        perceptual,
        lip_expert if loss.contrastive > 0 else None,
        recogniser if loss.identity > 0 else None,
    )


def _perceptual_distance(
    loss: LossConfig, device: torch.device, landmarks: LandmarkNet | None, recogniser: FaceRecogniser | None
) -> PerceptualDistance:
    match loss.perceptual_backend:
        case "efficientnet_lite0":
            return EfficientNetDistance(load_efficientnet().to(device), loss.perceptual_stages)
        case "face_recognition":
            assert recogniser is not None
            return FaceMapDistance(recogniser, loss.perceptual_stages)
        case "landmarks":
            assert landmarks is not None
            return SquaredDistance(LandmarkFeatures(landmarks))
        case "vgg16":
            return SquaredDistance(Vgg16Features(Path(loss.vgg16_weights)).to(device))
        case "random_vgg16":
            return SquaredDistance(Vgg16Features(None).to(device))
