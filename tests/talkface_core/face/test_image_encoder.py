"""E_image: old weights give z alone; the head corrects z and gives offsets, from nothing at first."""

from __future__ import annotations

import pytest
import torch

from talkface_core.face.image_encoder import ImageEncoder, TrainedEyes

LATENT, LAYERS = 32, 6


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_without_layers_it_gives_z_alone_and_needs_no_other_network(pictures: torch.Tensor) -> None:
    torch.manual_seed(0)
    encoder = ImageEncoder(LATENT)
    encoded = encoder(pictures)
    assert encoded.z.shape == (2, LATENT)
    assert encoded.layer_offsets is None
    assert encoder._eyes is None


def test_a_fresh_head_changes_nothing_and_learns(pictures: torch.Tensor) -> None:
    torch.manual_seed(0)
    plain = ImageEncoder(LATENT)
    torch.manual_seed(0)
    encoder = ImageEncoder(LATENT, num_layers=LAYERS)
    encoder.load_state_dict(plain.state_dict(), strict=False)
    encoded = encoder(pictures)
    torch.testing.assert_close(encoded.z, plain(pictures).z)
    assert encoded.layer_offsets is not None
    assert encoded.layer_offsets.shape == (2, LAYERS, LATENT)
    assert not encoded.layer_offsets.any()
    (encoded.z.sum() + encoded.layer_offsets.sum()).backward()
    assert encoder.head is not None
    assert encoder.head.offsets.weight.grad is not None
    assert encoder.head.offsets.weight.grad.abs().max() > 0


def test_trained_networks_are_no_part_of_its_weights(pictures: torch.Tensor) -> None:
    encoder = ImageEncoder(LATENT, num_layers=LAYERS)
    before = set(encoder.state_dict())
    encoder(pictures)
    assert set(encoder.state_dict()) == before
    assert all(name.startswith(("stem.", "blocks.", "out.", "head.")) for name in before)
    num_trained = sum(p.numel() for p in encoder.parameters())
    assert num_trained < 5_000_000


def test_the_head_tells_persons_apart_that_differ_in_place_and_colour() -> None:
    seen = TrainedEyes().look(torch.stack([torch.full((3, 96, 96), -0.5), torch.full((3, 96, 96), 0.5)]))
    assert seen.fine.shape == (2, 112, 14, 14)
    assert seen.coarse.shape == (2, 320, 7, 7)
    assert seen.descriptor.shape == (2, 128)
    for part in seen:
        torch.testing.assert_close(part.flatten(1).square().mean(1), torch.ones(2), atol=1e-3, rtol=0)
        assert not torch.allclose(part[0], part[1], atol=1e-2)
