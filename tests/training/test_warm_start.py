"""A run starts from the weights that ship: the same networks and face, style back in the encoder's own units."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from talkface_core.errors import CheckpointMismatchError
from talkface_core.face_networks import seeded_networks
from talkface_core.generator import GeneratorConfig
from talkface_core.interfaces import FaceIdentity
from talkface_core.weights import FaceWeights, save_face_weights
from training.config import TrainConfig
from training.distributed import World
from training.feature_networks import FeatureNetworks
from training.loop import open_run
from training.warm_start import load_start


@pytest.fixture
def weights(tiny_config: TrainConfig, tmp_path: Path) -> Path:
    model = tiny_config.model
    networks = seeded_networks(
        GeneratorConfig(
            resolution_px=model.resolution_px,
            latent_dim=model.latent_dim,
            channel_base=model.channel_base,
            channel_max=model.channel_max,
        ),
        seed=3,
    )
    networks.style_scale.fill_(0.5)
    z = np.linspace(-1, 1, model.latent_dim, dtype=np.float32)
    folder = tmp_path / "weights"
    save_face_weights(folder, FaceWeights(name="x", networks=networks, identity=FaceIdentity(z)), half=False)
    return folder


def test_a_run_starts_from_shipped_weights(
    weights: Path, tiny_config: TrainConfig, prepared: Path, tmp_path: Path, features: FeatureNetworks
) -> None:
    run = open_run(tiny_config, prepared, tmp_path / "run", features, World(), weights)
    own = run.state.networks
    shipped = load_start(weights).tensors
    constant = shipped["ema/faces.generator.synthesis.constant"]
    assert torch.equal(own.faces.generator.synthesis.constant, constant)
    assert torch.equal(own.faces.style_scale, torch.ones_like(own.faces.style_scale))
    assert own.identities.table is not None
    for row in own.identities.table:
        assert torch.allclose(row, torch.linspace(-1, 1, tiny_config.model.latent_dim))
    run.train(max_steps=1)
    assert not torch.equal(own.faces.generator.synthesis.constant, constant)


def test_weights_of_another_size_are_refused(
    weights: Path, tiny_config: TrainConfig, prepared: Path, tmp_path: Path, features: FeatureNetworks
) -> None:
    larger = dataclasses.replace(
        tiny_config, model=dataclasses.replace(tiny_config.model, channel_max=tiny_config.model.channel_max * 2)
    )
    with pytest.raises(CheckpointMismatchError, match=r"model\.channel_max"):
        open_run(larger, prepared, tmp_path / "run", features, World(), weights)


def test_a_folder_with_nothing_to_start_from_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no checkpoint; give a run's folder, a checkpoint or a weights"):
        load_start(tmp_path)
