"""Pivotal tuning on a small random generator: it learns the picture, and leaves the general networks alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from talkface_core.face.generator import GeneratorConfig
from talkface_core.face.networks import FaceNetworks, seeded_networks
from talkface_core.interfaces import FaceIdentity
from training.likeness.tuning import Neighbours, Shown, TuningConfig, TuningProgress, mouth_openings, tune

CONFIG = GeneratorConfig(resolution_px=32, latent_dim=32, channel_base=512, channel_max=16, mapping_layers=2)
STEPS = TuningConfig(seconds=600, max_steps=24)


@pytest.fixture
def networks() -> FaceNetworks:
    return seeded_networks(CONFIG, 0)


@pytest.fixture
def start() -> FaceIdentity:
    return FaceIdentity(np.zeros(CONFIG.latent_dim, np.float32))


def shown(count: int = 2) -> Shown:
    generator = torch.Generator().manual_seed(1)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 32), indexing="ij")
    picture = torch.stack([x, y, x * y])
    points = torch.rand(count, 68, 2, generator=generator) * 16 + 8
    return Shown(picture.expand(count, -1, -1, -1), points, torch.randn(count, CONFIG.latent_dim, generator=generator))


def neighbours(others: int = 2, sounds: int = 2) -> Neighbours:
    generator = torch.Generator().manual_seed(2)
    return Neighbours(
        torch.randn(others, CONFIG.num_layers, CONFIG.latent_dim, generator=generator),
        torch.randn(sounds, CONFIG.latent_dim, generator=generator),
    )


def drawn(networks: FaceNetworks, identity: FaceIdentity, moving: torch.Tensor) -> torch.Tensor:
    offsets = torch.from_numpy(identity.z) + torch.from_numpy(
        np.zeros((CONFIG.num_layers, CONFIG.latent_dim), np.float32)
        if identity.layer_offsets is None
        else identity.layer_offsets
    )
    return networks.generator.synthesis(offsets[None] + moving[:1, None])


def test_the_picture_is_learned_and_the_general_networks_stay(networks: FaceNetworks, start: FaceIdentity) -> None:
    before = {name: tensor.clone() for name, tensor in networks.state_dict().items()}
    given, seen = shown(), []
    face = tune(networks, given, start, neighbours(), STEPS, on_step=seen.append)
    for name, tensor in networks.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    own = face.networks(networks)
    error = [float((d - given.pictures[:1]).abs().mean()) for d in (
        drawn(networks, start, given.moving), drawn(own, face.identity, given.moving))]  # fmt: skip
    assert error[1] < 0.7 * error[0]
    assert face.steps == len(seen) == STEPS.max_steps
    assert {"pixels", "look", "identity", "pivot"} < set(seen[0].terms)
    assert own.audio_encoder is networks.audio_encoder
    assert not any(p.requires_grad for p in face.generator.parameters())


def test_the_same_steps_give_the_same_face(networks: FaceNetworks, start: FaceIdentity) -> None:
    config = dataclasses.replace(STEPS, max_steps=3)
    first, second = (tune(networks, shown(), start, neighbours(), config) for _ in range(2))
    np.testing.assert_array_equal(first.identity.layer_offsets, second.identity.layer_offsets)


def test_locality_keeps_other_people(networks: FaceNetworks, start: FaceIdentity) -> None:
    around = neighbours(others=1, sounds=0)

    def drift(locality: float) -> float:
        config = dataclasses.replace(STEPS, locality=locality)
        face = tune(networks, shown(1), start, around, config)
        with torch.no_grad():
            return float(
                (face.generator.synthesis(around.others) - networks.generator.synthesis(around.others)).abs().mean()
            )

    assert drift(20.0) < 0.8 * drift(0.0)


def test_noise_of_fine_layers_is_left_alone(networks: FaceNetworks, start: FaceIdentity) -> None:
    face = tune(networks, shown(), start, neighbours(), dataclasses.replace(STEPS, noise_px=8, max_steps=3))
    for block, own in zip(networks.generator.synthesis.blocks, face.generator.synthesis.blocks, strict=True):
        learned = isinstance(own.layer.noise, torch.nn.Parameter)
        assert learned == (block.layer.noise.shape[-1] <= 8)


def test_a_caller_may_break_off(networks: FaceNetworks, start: FaceIdentity) -> None:
    def stop(progress: TuningProgress) -> None:
        if progress.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(networks, shown(), start, neighbours(), STEPS, on_step=stop)


def test_wrong_shapes_and_empty_budgets_are_refused(networks: FaceNetworks, start: FaceIdentity) -> None:
    with pytest.raises(ValueError, match=r"\[N, 68, 2\] points and \[N, 32\] latents, got \[2, 3, 32, 32\]"):
        tune(networks, dataclasses.replace(shown(), moving=torch.zeros(1, 32)), start, neighbours(), STEPS)
    with pytest.raises(ValueError, match="needs time and steps"):
        TuningConfig(seconds=0)


def test_mouth_opening_is_the_inner_lips_distance_by_the_eyes() -> None:
    points = torch.zeros(1, 68, 2)
    points[0, 45, 0] = 50.0
    points[0, 66, 1] = 10.0
    assert float(mouth_openings(points)) == pytest.approx(0.2)
