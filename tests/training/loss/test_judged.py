"""Losses through the trained judges: their formulas, their gradients, and what they prefer."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage import data as pictures
from torch import Tensor

from talkface_core.judges.efficientnet import EfficientNetLite0, load_efficientnet
from talkface_core.judges.face_recognition import FaceRecogniser, load_face_recogniser
from talkface_core.tracking.tracker import FaceTracker
from training.loss.config import LossConfig
from training.loss.feature_networks import load_feature_networks
from training.loss.judged import (
    EfficientNetDistance,
    FaceMapDistance,
    descriptor_distance,
    identity_loss,
    relative_l1,
)


@pytest.fixture(scope="module")
def efficientnet() -> EfficientNetLite0:
    return load_efficientnet()


@pytest.fixture(scope="module")
def recogniser() -> FaceRecogniser:
    return load_face_recogniser()


@pytest.fixture(scope="module")
def face() -> tuple[Tensor, Tensor]:
    """A photograph [1, 3, 256, 256] of a face in [-1, 1] and its points in fractions."""
    picture = np.ascontiguousarray(pictures.astronaut()[:256, 96:352])
    found = FaceTracker().track([picture])[0]
    assert found is not None
    unit = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 127.5 - 1
    return unit, torch.from_numpy(found.points)[None] / 256


def soft(picture: Tensor) -> Tensor:
    return F.interpolate(F.avg_pool2d(picture, 8), scale_factor=8, mode="bilinear", align_corners=False)


def test_relative_l1_is_its_formula() -> None:
    rng = np.random.default_rng(0)
    real = [rng.normal(size=(2, 3, 4, 4)), rng.normal(size=(2, 5, 2, 2)) * 100]
    fake = [m + rng.normal(size=m.shape) for m in real]
    expected = [
        sum(np.abs(a[n] - b[n]).mean() / np.abs(a[n]).mean() for a, b in zip(real, fake, strict=True)) for n in range(2)
    ]
    got = relative_l1([torch.from_numpy(m) for m in real], [torch.from_numpy(m) for m in fake])
    assert got.tolist() == pytest.approx(expected, rel=1e-9)


def test_descriptor_distance_is_euclidean_and_smooth_where_both_agree() -> None:
    a, b = torch.randn(2, 3, 128, generator=torch.Generator().manual_seed(0)).unbind()
    b = b.requires_grad_()
    torch.testing.assert_close(descriptor_distance(a, b), (a - b).norm(dim=1), atol=2e-3, rtol=1e-3)
    same = a.clone().requires_grad_()
    descriptor_distance(a, same).sum().backward()
    assert same.grad is not None
    assert float(same.grad.abs().max()) == 0


@pytest.mark.parametrize("side", [64, 128, 256])
def test_terms_work_at_every_resolution(
    efficientnet: EfficientNetLite0, recogniser: FaceRecogniser, face: tuple[Tensor, Tensor], side: int
) -> None:
    """0 for the same picture; more for other colours; gradients are finite, and the recogniser's stay in the face."""
    picture, points = face
    real = F.interpolate(picture, (side, side), mode="area")
    other = (real.roll(1, dims=1) * 0.9).requires_grad_()
    terms = {
        "efficientnet": EfficientNetDistance(efficientnet, (1, 2, 3, 4)),
        "face maps": FaceMapDistance(recogniser, (1, 3)),
        "identity": lambda r, f, p: identity_loss(recogniser, r, f, p),
    }
    for name, term in terms.items():
        assert float(term(real, real, points)) == pytest.approx(0, abs=1e-5), name
        other.grad = None
        value = term(real, other, points)
        value.sum().backward()
        assert float(value.detach()) > 0.1, name
        assert other.grad is not None
        assert bool(other.grad.isfinite().all()), name
        outside = float(other.grad[:, :, -side // 8 :].abs().max())
        assert (outside > 0) == (name == "efficientnet"), name


def test_chosen_stages_are_the_ones_compared(efficientnet: EfficientNetLite0, face: tuple[Tensor, Tensor]) -> None:
    picture, points = face
    blurred = soft(picture)
    single = [EfficientNetDistance(efficientnet, (s,))(picture, blurred, points) for s in (1, 3)]
    both = EfficientNetDistance(efficientnet, (3, 1))(picture, blurred, points)
    torch.testing.assert_close(both, single[0] + single[1])


def test_identity_cares_for_the_person_not_the_light(recogniser: FaceRecogniser, face: tuple[Tensor, Tensor]) -> None:
    picture, points = face
    darker = identity_loss(recogniser, picture, picture * 0.8 - 0.1, points)
    stretched = F.interpolate(picture, (320, 256), mode="bilinear")[:, :, 32:288]
    other = identity_loss(recogniser, picture, stretched.flip(1), points)
    assert float(darker) < 0.25 < float(other)


def test_a_config_loads_what_it_names() -> None:
    cpu = torch.device("cpu")
    networks = load_feature_networks(
        LossConfig(perceptual=1.0, perceptual_backend="efficientnet_lite0", sync=0, contrastive=0, identity=0.5), cpu
    )
    assert isinstance(networks.perceptual, EfficientNetDistance)
    assert networks.perceptual.on_windows
    assert networks.recogniser is not None
    assert networks.landmarks is None
    base = LossConfig(perceptual=1.0, perceptual_backend="face_recognition", sync=0, contrastive=0)
    networks = load_feature_networks(base, cpu)
    assert isinstance(networks.perceptual, FaceMapDistance)
    assert networks.recogniser is None
    with pytest.raises(ValueError, match=r"loss\.perceptual_stages.*1 to 4"):
        dataclasses.replace(base, perceptual_stages=(5,))
    with pytest.raises(ValueError, match=r"loss\.perceptual_stages"):
        LossConfig(perceptual_stages=())
