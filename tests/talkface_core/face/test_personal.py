"""One person's generator: what tuning added, taken off and put on again."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from talkface_core.face.generator import Generator, SynthesisLayer
from talkface_core.face.model import tiny_face_model
from talkface_core.face.networks import FaceNetworks
from talkface_core.face.personal import personal_networks, tunable_tensors, tuned_difference


@pytest.fixture(scope="module")
def base() -> FaceNetworks:
    return tiny_face_model().weights.networks


def tuned_generator(base: FaceNetworks, noise_px: int = 16) -> Generator:
    """A copy with everything changed that `training.likeness.tuning.tunable` names."""
    generator = copy.deepcopy(base.generator)
    torch.manual_seed(3)
    with torch.no_grad():
        for module in generator.synthesis.modules():
            if isinstance(module, SynthesisLayer) and module.noise.shape[-1] <= noise_px:
                module.learn_noise()
        for name, parameter in generator.synthesis.named_parameters():
            is_affine = ".conv.affine." in name
            is_small = name.endswith((".bias", ".noise")) or "to_rgb.conv.weight" in name
            if is_affine or is_small:
                parameter += 0.02 * torch.randn_like(parameter)
    return generator.eval().requires_grad_(False)


def ws(base: FaceNetworks) -> torch.Tensor:
    return torch.randn(2, base.config.num_layers, base.config.latent_dim, generator=torch.Generator().manual_seed(1))


def test_difference_put_on_again_draws_the_same(base: FaceNetworks) -> None:
    tuned = tuned_generator(base)
    own = personal_networks(base, tuned_difference(base.generator, tuned))
    with torch.inference_mode():
        expected, found = tuned.synthesis(ws(base)), own.generator.synthesis(ws(base))
        assert (expected - base.generator.synthesis(ws(base))).abs().max() > 1e-2
    assert torch.allclose(found, expected, atol=1e-4)


def test_the_base_stays_and_its_encoders_are_shared(base: FaceNetworks) -> None:
    before = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    own = personal_networks(base, tuned_difference(base.generator, tuned_generator(base)))
    after = base.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert own.audio_encoder is base.audio_encoder
    assert own.generator.mapping is base.generator.mapping
    assert own.generator.synthesis is not base.generator.synthesis
    assert not any(parameter.requires_grad for parameter in own.generator.parameters())


def test_what_stayed_is_left_out(base: FaceNetworks) -> None:
    assert tuned_difference(base.generator, copy.deepcopy(base.generator)) == {}
    names = tuned_difference(base.generator, tuned_generator(base, noise_px=8)).keys()
    assert names < tunable_tensors(base.generator.synthesis).keys()
    noise = {name for name in names if name.endswith(".noise")}
    assert noise == {"blocks.0.layer.noise", "blocks.1.layer.noise", "blocks.1.up_layer.noise"}


def test_noise_counts_with_its_strength_on_learned_noise_too(base: FaceNetworks) -> None:
    learned = personal_networks(base, {"blocks.0.layer.noise": np.zeros((4, 4), np.float32)})
    layer = learned.generator.synthesis.blocks[0].layer
    layer.noise_strength.fill_(0.5)  # type: ignore[union-attr,operator]
    again = personal_networks(learned, {"blocks.0.layer.noise": np.ones((4, 4), np.float32)})
    expected = tunable_tensors(learned.generator.synthesis)["blocks.0.layer.noise"] + 1
    assert torch.allclose(tunable_tensors(again.generator.synthesis)["blocks.0.layer.noise"], expected)


def test_convolutions_are_not_carried(base: FaceNetworks) -> None:
    tuned = copy.deepcopy(base.generator)
    with torch.no_grad():
        tuned.synthesis.constant += 1
    with pytest.raises(ValueError, match="tuning changed constant, which an identity does not carry"):
        tuned_difference(base.generator, tuned)


@pytest.mark.parametrize("name", ["blocks.0.layer.noise", "blocks.0.layer.conv.weight", "constant", "x"])
def test_other_tensors_are_refused(base: FaceNetworks, name: str) -> None:
    with pytest.raises(ValueError, match=rf"^the generator has no tensor {name} of shape \[5, 4\] to add to$"):
        personal_networks(base, {name: np.zeros((5, 4), np.float32)})
