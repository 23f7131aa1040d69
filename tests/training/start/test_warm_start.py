"""A run starts from the weights that ship: the same networks and face, style back in the encoder's own units."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from talkface_core.errors import CheckpointMismatchError
from talkface_core.face.generator import Generator, GeneratorConfig
from talkface_core.face.model import load_face_model
from talkface_core.face.networks import seeded_networks
from talkface_core.interfaces import FaceIdentity
from talkface_core.weights import FaceWeights, save_face_weights
from training.config import TrainConfig
from training.data.clip_format import read_clip, read_manifest
from training.data.clip_store import resize_frames
from training.distributed import World
from training.export import ExportOptions, export_run
from training.loop import open_run
from training.loss.feature_networks import FeatureNetworks
from training.networks import to_pictures
from training.start.narrow_generator import narrow_generator
from training.start.warm_start import load_start


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


def test_a_fresh_image_encoder_begins_at_the_face_of_the_start(
    weights: Path, tiny_config: TrainConfig, prepared: Path, tmp_path: Path, features: FeatureNetworks
) -> None:
    many = dataclasses.replace(tiny_config, model=dataclasses.replace(tiny_config.model, identity="encoder"))
    own = open_run(many, prepared, tmp_path / "run", features, World(), weights).state.networks
    side = tiny_config.model.resolution_px
    z, _ = own.identities(torch.tensor([0]), torch.zeros(1, 3, side, side))
    expected = torch.linspace(-1, 1, tiny_config.model.latent_dim)
    assert float((z[0].detach() - expected).square().mean().sqrt()) < 0.2 * float(expected.square().mean().sqrt())


@pytest.mark.parametrize("learned", [True, False])
def test_noise_learned_on_one_person_stays_behind(
    learned: bool, tiny_config: TrainConfig, prepared: Path, tmp_path: Path, features: FeatureNetworks
) -> None:
    model = dataclasses.replace(tiny_config.model, learned_noise=learned)
    one = open_run(dataclasses.replace(tiny_config, model=model), prepared, tmp_path / "one", features, World())
    layer = one.state.ema.faces.generator.synthesis.blocks[-1].layer
    with torch.no_grad():
        layer.noise.fill_(7.0)
    one.save()
    many = dataclasses.replace(
        tiny_config, model=dataclasses.replace(tiny_config.model, identity="encoder", learned_noise=False)
    )
    own = open_run(many, prepared, tmp_path / "many", features, World(), tmp_path / "one").state.networks
    noise = own.faces.generator.synthesis.blocks[-1].layer.noise
    assert bool((noise == 7.0).all()) is not learned


def test_export_leaves_the_unused_mapping_out_and_takes_the_image_encoder_along(
    tiny_config: TrainConfig, prepared: Path, tmp_path: Path, features: FeatureNetworks
) -> None:
    many = dataclasses.replace(tiny_config, model=dataclasses.replace(tiny_config.model, identity="encoder"))
    run = open_run(many, prepared, tmp_path / "run", features, World())
    run.save()
    folder = tmp_path / "weights"
    export_run(ExportOptions(run=tmp_path / "run", data=prepared, out=folder))
    model = load_face_model(folder)
    config = model.weights.networks.config
    assert config.mapping_layers == 1
    assert sum("mapping.layers" in n for n in model.weights.networks.state_dict()) == 2
    # The same picture gives the same face in the run and in the call.
    clip = read_clip(prepared, read_manifest(prepared)[0])
    first = resize_frames(clip.frames[:1], config.resolution_px)
    z, _ = run.state.ema.identities(torch.tensor([0]), to_pictures(torch.from_numpy(first).permute(0, 3, 1, 2)))
    np.testing.assert_allclose(model.encode_portrait(first[0]).z, z[0].detach().numpy(), rtol=2e-2, atol=2e-3)
    with pytest.raises(ValueError, match=r"must be \[\d+, \d+, 3\] uint8"):
        model.encode_portrait(first[0, :5])
    # And a run goes on from there, encoder included, mapping as the seed draws it.
    again = open_run(many, prepared, tmp_path / "again", features, World(), folder).state.networks
    assert again.identities.encoder is not None
    assert run.state.ema.identities.encoder is not None
    torch.testing.assert_close(
        again.identities.encoder.out.weight, run.state.ema.identities.encoder.out.weight, rtol=2e-3, atol=2e-3
    )


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
