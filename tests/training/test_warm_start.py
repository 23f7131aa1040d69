"""A run starts from the weights that ship: the same networks and face, style back in the encoder's own units."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from talkface_core.errors import CheckpointMismatchError
from talkface_core.face_networks import seeded_networks
from talkface_core.generator import Generator, GeneratorConfig
from talkface_core.interfaces import FaceIdentity
from talkface_core.weights import FaceWeights, save_face_weights
from training.config import TrainConfig
from training.distributed import World
from training.feature_networks import FeatureNetworks
from training.loop import open_run
from training.narrow_generator import narrow_generator
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


def test_a_wider_generator_is_cut_down_when_asked(
    weights: Path, tiny_config: TrainConfig, prepared: Path, tmp_path: Path, features: FeatureNetworks
) -> None:
    model = dataclasses.replace(tiny_config.model, channel_base=256, channel_max=12, learned_noise=True)
    narrow = dataclasses.replace(
        tiny_config, model=model, train=dataclasses.replace(tiny_config.train, narrow_init=True)
    )
    run = open_run(narrow, prepared, tmp_path / "run", features, World(), weights)
    own = run.state.networks.faces.generator.synthesis
    assert own.blocks[-1].layer.conv.weight.shape == (8, 8, 3, 3)
    shipped = load_start(weights).tensors
    # Every kept channel of the constant is one of the wider network's, unchanged.
    for channel in own.constant:
        assert (shipped["ema/faces.generator.synthesis.constant"] == channel).all(dim=(1, 2)).any()
    run.train(max_steps=1)
    wider = dataclasses.replace(narrow, model=dataclasses.replace(model, channel_max=64, channel_base=512))
    with pytest.raises(ValueError, match="at 4 px 64 channels are wanted and 16 given"):
        open_run(wider, prepared, tmp_path / "wide", features, World(), weights)


def test_channels_that_nothing_uses_go_first() -> None:
    source = GeneratorConfig(resolution_px=16, latent_dim=8, channel_base=128, channel_max=8)
    target = dataclasses.replace(source, channel_base=64, channel_max=4)
    wide, narrow = TrainedPart(source), TrainedPart(target)
    m = torch.randn(3, 8)
    with torch.no_grad():
        # Half of each layer's output is made to weigh nothing in all that follows: the picture must not change.
        for i, block in enumerate(wide.generator.synthesis.blocks):
            readers = [block.to_rgb.conv]
            if i + 1 < len(wide.generator.synthesis.blocks):
                readers.append(wide.generator.synthesis.blocks[i + 1].up_layer.conv)
            for conv in readers:
                conv.weight[:, ::2] = 0
            block.layer.conv.weight[:, 1::2] = 0
            wide.generator.synthesis.constant[1::2] = 0
        before = wide.generator.render(m)
        state = narrow_generator(wide.named(), source, target)
        narrow.load(state)
        # The gain of each layer counts its input channels: half of them means weights of 1 / sqrt(2).
        for block in narrow.generator.synthesis.blocks:
            block.to_rgb.conv.weight.mul_(0.5**0.5)
        torch.testing.assert_close(narrow.generator.render(m), before, rtol=1e-4, atol=1e-5)


class TrainedPart:
    """A generator under the names that a run gives it."""

    def __init__(self, config: GeneratorConfig) -> None:
        torch.manual_seed(0)
        self.generator = Generator(config)

    def named(self) -> dict[str, torch.Tensor]:
        return {f"faces.generator.{n}": t for n, t in self.generator.state_dict().items()}

    def load(self, state: dict[str, torch.Tensor]) -> None:
        self.generator.load_state_dict({n.removeprefix("faces.generator."): t for n, t in state.items()})


def test_a_folder_with_nothing_to_start_from_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no checkpoint; give a run's folder, a checkpoint or a weights"):
        load_start(tmp_path)
