"""G against the plain reference, its gradients, its arguments."""

from __future__ import annotations

from typing import Any

import pytest
import stylegan2_reference as reference
import torch
from torch import Tensor

from talkface.edit.official_checkpoints import _targets as official_names
from talkface_core.face.generator import Generator, GeneratorConfig, ModulatedConv2d, SynthesisLayer, Window
from talkface_core.face.layers import downsample2, fir_kernel, upsample2

CONFIG = GeneratorConfig(resolution_px=32, latent_dim=24, channel_base=256, channel_max=20, mapping_layers=3)
TOLERANCE = {torch.float32: 2e-4, torch.float64: 1e-10}


def random_generator(dtype: torch.dtype = torch.float32) -> Generator:
    torch.manual_seed(0)
    generator = Generator(CONFIG).to(dtype)
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith(("noise_strength", "bias")):
                parameter.add_(0.3 * torch.randn_like(parameter))
    return generator


def under_official_names(generator: Generator) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in official_names(generator)}


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_synthesis_equals_the_plain_reference(dtype: torch.dtype) -> None:
    generator = random_generator(dtype)
    ws = torch.randn(2, CONFIG.num_layers, CONFIG.latent_dim, dtype=dtype)
    with torch.no_grad():
        got = generator.synthesis(ws, dtype=dtype)
    expected = reference.synthesis(under_official_names(generator), ws)
    if dtype is torch.float64:
        # ToRgb and the styles' statistics are kept in float32 by design: compare what that allows.
        torch.testing.assert_close(got.double(), expected, rtol=1e-4, atol=1e-4)
    else:
        torch.testing.assert_close(got, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


def test_mapping_equals_the_plain_reference_and_truncation_moves_to_the_mean() -> None:
    generator = random_generator()
    z = torch.randn(5, CONFIG.latent_dim)
    w = generator.mapping(z)
    torch.testing.assert_close(w, reference.mapping(under_official_names(generator), z), rtol=1e-4, atol=1e-5)
    generator.mapping.track_mean(w, decay=0.0)
    mean = generator.mapping.mean_latent
    torch.testing.assert_close(mean, w.mean(0))
    torch.testing.assert_close(generator.mapping(z, truncation_psi=0.0), mean.expand_as(w))
    torch.testing.assert_close(generator.mapping(z, truncation_psi=0.5), (w + mean) / 2)


@pytest.mark.parametrize(("up", "demodulate", "kernel"), [(False, True, 3), (True, True, 3), (False, False, 1)])
def test_modulated_convolution_equals_scaled_weights(up: bool, demodulate: bool, kernel: int) -> None:
    torch.manual_seed(0)
    conv = ModulatedConv2d(6, 5, kernel, 8, up=up, demodulate=demodulate)
    x, w = torch.randn(3, 6, 7, 7), torch.randn(3, 8)
    weight = conv.weight * conv.weight_gain
    expected = reference.modulated_conv2d(x, weight, conv.affine(w), demodulate=demodulate, up=2 if up else 1)
    torch.testing.assert_close(conv(x, w), expected, rtol=1e-4, atol=1e-5)


def test_resampling_equals_upfirdn() -> None:
    x = torch.randn(2, 3, 9, 9, dtype=torch.float64)
    up = reference.upfirdn2d(x, up=2, padding=(2, 1), gain=4.0)
    torch.testing.assert_close(upsample2(x), up)
    even = x[:, :, :8, :8]
    down = reference.upfirdn2d(even, up=1, padding=(1, 1), gain=1.0)[:, :, ::2, ::2]
    torch.testing.assert_close(downsample2(even, fir_kernel()), down)


@pytest.mark.parametrize("corner", [(0, 0), (1, 3), (4, 4), (0, 2), (8, 8), (5, 8)])
def test_a_window_is_a_part_of_the_picture(corner: tuple[int, int]) -> None:
    torch.manual_seed(1)
    generator = Generator(GeneratorConfig(resolution_px=64, latent_dim=24, channel_base=256, channel_max=20))
    for name, parameter in generator.named_parameters():
        if name.endswith(("noise_strength", "bias")):
            parameter.data.add_(0.3 * torch.randn_like(parameter))
    m = torch.randn(2, 24)
    window = Window(16, *corner, 8)
    with torch.no_grad():
        whole, part = generator.render(m), generator.render(m, window=window)
    top, left = (4 * v for v in corner)
    assert part.std() > 0.1
    torch.testing.assert_close(part, whole[..., top : top + 32, left : left + 32], rtol=1e-4, atol=1e-5)
    assert torch.equal(window.cut(whole), whole[..., top : top + 32, left : left + 32])


def test_learned_noise_starts_as_the_fixed_one() -> None:
    generator = random_generator()
    m = torch.randn(2, CONFIG.latent_dim)
    before = generator.render(m)
    names = list(generator.state_dict())
    generator.synthesis.learn_noise()
    torch.testing.assert_close(generator.render(m), before, rtol=1e-5, atol=1e-6)
    assert sorted(generator.state_dict()) == sorted(names)
    generator.render(m).square().mean().backward()
    layers = [layer for layer in generator.modules() if isinstance(layer, SynthesisLayer)]
    assert all(isinstance(layer.noise, torch.nn.Parameter) and layer.noise.grad is not None for layer in layers)


def test_gradients_are_right_in_float64() -> None:
    torch.manual_seed(0)
    conv = ModulatedConv2d(2, 3, 3, 4, up=True).double()
    x = torch.randn(1, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    # Styles are float32 inside; the input's path is float64 throughout.
    w = torch.randn(1, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda t: conv(t, w), (x,))


def test_every_layer_gets_the_latent_and_offsets_add_to_it() -> None:
    generator = random_generator()
    m, offsets = torch.randn(2, CONFIG.latent_dim), torch.randn(CONFIG.num_layers, CONFIG.latent_dim)
    ws = m[:, None] + offsets
    torch.testing.assert_close(generator.render(m, layer_offsets=offsets), generator.synthesis(ws))
    torch.testing.assert_close(generator.render(m), generator.synthesis(m[:, None].expand_as(ws)))
    base = generator.synthesis(ws)
    for layer in range(CONFIG.num_layers):
        changed = ws.clone()
        changed[:, layer] += 0.5
        assert (generator.synthesis(changed) - base).abs().max() > 1e-4, layer


def test_a_smaller_picture_is_the_inner_sum() -> None:
    generator = random_generator()
    m = torch.randn(1, CONFIG.latent_dim)
    small = generator.render(m, max_resolution_px=16)
    assert small.shape == (1, 3, 16, 16)
    assert generator.render(m).shape == (1, 3, 32, 32)


def test_samples_do_not_depend_on_their_batch() -> None:
    generator = random_generator()
    m = torch.randn(3, CONFIG.latent_dim)
    torch.testing.assert_close(generator.render(m)[1:2], generator.render(m[1:2]), rtol=1e-4, atol=1e-4)


def test_bfloat16_features_stay_near() -> None:
    generator = random_generator()
    m = torch.randn(2, CONFIG.latent_dim)
    full, half = generator.render(m), generator.render(m, dtype=torch.bfloat16)
    assert half.dtype == torch.float32
    assert (full - half).square().mean().sqrt() < 0.03 * full.std()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"resolution_px": 100}, "power of two from 8 to 1024, not 100"),
        ({"resolution_px": 0}, "power of two"),
        ({"resolution_px": 2048}, "power of two"),
        ({"latent_dim": 0}, "latent_dim must be 1 to 1024, not 0"),
        ({"latent_dim": 2**60}, "latent_dim must be 1 to 1024"),
        ({"channel_base": 2**40}, "channel_base must be 1 to 65536"),
        ({"channel_max": 2**40}, "channel_max must be 1 to 1024"),
        ({"mapping_layers": 10**9}, "mapping_layers must be 1 to 32"),
        ({"resolution_px": 256.0}, "resolution_px must be a whole number, not 256.0"),
        ({"channel_max": "512"}, "channel_max must be a whole number, not '512'"),
    ],
)
def test_wrong_sizes_are_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GeneratorConfig(**fields)


def test_wrong_latents_are_named() -> None:
    with pytest.raises(ValueError, match=r"ws must be \[B, 8, D\], not \[1, 3, 24\]"):
        random_generator().synthesis(torch.zeros(1, 3, 24))


def test_sizes_are_those_of_the_paper() -> None:
    official = GeneratorConfig(resolution_px=1024, channel_base=32768, channel_max=512)
    assert official.num_layers == 18
    assert [official.channels(r) for r in official.block_resolutions] == [512] * 5 + [256, 128, 64, 32]
    assert GeneratorConfig().num_layers == 14
