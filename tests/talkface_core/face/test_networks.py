"""The sum m = e + z + d and the drawing graph that runtimes compile."""

from __future__ import annotations

import pytest
import torch

from talkface_core.face.generator import GeneratorConfig
from talkface_core.face.networks import (
    DrawFrame,
    FaceNetworks,
    drawn_resolution,
    picture_to_uint8,
    seeded_networks,
)

CONFIG = GeneratorConfig(resolution_px=32, latent_dim=64, channel_base=256, channel_max=16, mapping_layers=2)


@pytest.fixture(scope="module")
def networks() -> FaceNetworks:
    return seeded_networks(CONFIG, 0)


def test_render_equals_the_generator_of_the_sum(networks: FaceNetworks) -> None:
    torch.manual_seed(0)
    mel, style, z = torch.randn(3, 1, 80, 29), torch.randn(3, 16), torch.randn(64)
    e = networks.audio_encoder.encode_mel(mel)
    d = networks.style_decoder(style)
    torch.testing.assert_close(networks(mel, style, z), networks.generator.render(e + z + d))
    torch.testing.assert_close(networks.latent(mel, style, z.expand(3, -1)), e + z + d)


def test_zero_style_adds_nothing_and_the_scale_is_applied(networks: FaceNetworks) -> None:
    mel, z = torch.randn(1, 1, 80, 29), torch.randn(64)
    bare = networks.audio_encoder.encode_mel(mel) + z
    torch.testing.assert_close(networks.latent(mel, torch.zeros(1, 16), z), bare)
    scaled = seeded_networks(CONFIG, 0)
    scaled.style_scale.fill_(2.0)
    style = torch.randn(1, 16)
    torch.testing.assert_close(scaled.latent(mel, style, z), networks.latent(mel, 2 * style, z))


def test_mismatched_lengths_are_named(networks: FaceNetworks) -> None:
    with pytest.raises(ValueError, match="3 windows of sound but 2 style vectors"):
        networks.latent(torch.zeros(3, 1, 80, 29), torch.zeros(2, 16), torch.zeros(64))


def test_draw_frame_is_the_networks_and_eight_bits(networks: FaceNetworks) -> None:
    torch.manual_seed(1)
    mel, style, z = torch.randn(1, 1, 80, 29), torch.randn(1, 16), torch.randn(64)
    offsets = 0.1 * torch.randn(CONFIG.num_layers, 64)
    frame = DrawFrame(networks)(mel, style, (z + offsets)[None])
    picture = networks.generator.render(networks.latent(mel, style, z), layer_offsets=offsets)
    assert frame.shape == (1, 32, 32, 3)
    expected = ((picture[0].permute(1, 2, 0).double() + 1) * 127.5).clamp(0, 255)
    assert (frame[0].double() - expected).abs().max() <= 0.51


def test_uint8_rounds_and_clips() -> None:
    picture = torch.tensor([-9.0, -1.0, 0.0, 0.5, 1.0, 9.0]).view(1, 1, 1, 6).expand(1, 3, 1, 6)
    assert picture_to_uint8(picture)[0, 0, :, 0].tolist() == [0, 0, 128, 191, 255, 255]


def test_seeded_networks_repeat_and_leave_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    a, b = seeded_networks(CONFIG, 3), seeded_networks(CONFIG, 3)
    assert torch.equal(before, torch.random.get_rng_state())
    for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True):
        assert torch.equal(x, y)
    assert not torch.equal(a.generator.synthesis.constant, seeded_networks(CONFIG, 4).generator.synthesis.constant)


def test_silent_blocks_are_left_out_of_the_drawing_and_the_picture_stays_the_same() -> None:
    networks = seeded_networks(CONFIG, 1)
    last = networks.generator.synthesis.blocks[-1].to_rgb
    assert drawn_resolution(networks.generator.synthesis) == 32
    inputs = torch.randn(1, 1, 80, 29), torch.randn(1, 16), torch.randn(1, CONFIG.num_layers, 64)
    loud = DrawFrame(networks)(*inputs)
    last.conv.weight.zero_()
    last.bias.zero_()
    assert drawn_resolution(networks.generator.synthesis) == 16
    silent = DrawFrame(networks)
    whole = DrawFrame(networks)
    whole.drawn_px = 32
    assert torch.equal(silent(*inputs), whole(*inputs))
    assert not torch.equal(silent(*inputs), loud)
