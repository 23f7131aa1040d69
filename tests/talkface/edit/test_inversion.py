"""Inversion finds what a generator drew, keeps the best, starts where told, and says what is wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from talkface.edit.inversion import InversionConfig, invert, latent_spread, learning_rate_ramp
from talkface_core.face.generator import Generator, GeneratorConfig
from talkface_core.face.networks import seeded_networks

CONFIG = GeneratorConfig(resolution_px=16, latent_dim=16, channel_base=256, channel_max=16, mapping_layers=2)


class PooledPixels:
    """A feature network simple enough that a small search succeeds in a second."""

    name = "pooled pixels"
    sees_everything = True

    def __call__(self, pictures: Tensor) -> list[Tensor]:
        return [pictures, F.avg_pool2d(pictures, 4)]


@pytest.fixture(scope="module")
def generator() -> Generator:
    return seeded_networks(CONFIG, 0).generator


def a_face(generator: Generator, seed: int) -> tuple[Tensor, Tensor]:
    z = torch.randn(1, CONFIG.latent_dim, generator=torch.Generator().manual_seed(seed))
    w = generator.mapping(z)
    return w[0], generator.render(w)[0]


def test_a_drawn_picture_is_found_again(generator: Generator) -> None:
    _, portrait = a_face(generator, 3)
    seen: list[tuple[int, int, float]] = []
    config = InversionConfig(steps=100)
    found = invert(generator, portrait, PooledPixels(), config, progress=lambda *a: seen.append(a))
    start = invert(generator, portrait, PooledPixels(), InversionConfig(steps=1, lr=0.0, initial_noise=0.0))
    assert found.distance < 0.05 * start.distance
    assert found.psnr_db > start.psnr_db + 8
    assert [s for s, _, _ in seen] == list(range(1, 101))
    distances = [d for _, _, d in seen]
    assert distances == sorted(distances, reverse=True)  # best so far never gets worse
    assert found.picture.shape == (16, 16, 3)
    assert found.identity.layer_offsets is None
    drawn = generator.render(torch.from_numpy(found.identity.z)[None])[0].clamp(-1, 1)
    expected = ((drawn + 1) * 127.5).round().permute(1, 2, 0).numpy()
    np.testing.assert_allclose(found.picture, expected, atol=1)


def test_the_best_is_kept_when_the_search_runs_away(generator: Generator) -> None:
    w, portrait = a_face(generator, 4)
    config = InversionConfig(steps=12, lr=50.0, initial_noise=0.0)
    found = invert(generator, portrait, PooledPixels(), config, start=w)
    assert found.best_step == 0
    assert found.distance < 1e-6
    np.testing.assert_allclose(found.identity.z, w.numpy(), atol=1e-6)


def test_offsets_reach_pictures_that_one_latent_cannot(generator: Generator) -> None:
    ws = generator.mapping(
        torch.randn(CONFIG.num_layers, CONFIG.latent_dim, generator=torch.Generator().manual_seed(5))
    )
    portrait = generator.synthesis(ws[None])[0]
    one, many = (
        invert(generator, portrait, PooledPixels(), InversionConfig(steps=120, layer_offsets=flag, offset_penalty=1e-3))
        for flag in (False, True)
    )
    assert many.identity.layer_offsets is not None
    assert many.identity.layer_offsets.shape == (CONFIG.num_layers, CONFIG.latent_dim)
    assert many.distance < 0.6 * one.distance


def test_what_moves_is_taken_off_the_identity(generator: Generator) -> None:
    """With e of silence given, z + e draws the portrait."""
    w, portrait = a_face(generator, 6)
    moving = torch.full((CONFIG.latent_dim,), 0.3)
    config = InversionConfig(steps=1, lr=0.0, initial_noise=0.0)
    found = invert(generator, portrait, PooledPixels(), config, start=w - moving, moving=moving)
    assert found.distance < 1e-6


def test_same_seed_same_result_and_the_generator_is_untouched(generator: Generator) -> None:
    _, portrait = a_face(generator, 7)
    generator.requires_grad_(True)
    before = {k: v.clone() for k, v in generator.state_dict().items()}
    a, b = (invert(generator, portrait, PooledPixels(), InversionConfig(steps=5)) for _ in range(2))
    np.testing.assert_array_equal(a.identity.z, b.identity.z)
    assert all(p.grad is None for p in generator.parameters())
    assert all(torch.equal(v, generator.state_dict()[k]) for k, v in before.items())
    generator.requires_grad_(False)


def test_wrong_input_is_named(generator: Generator) -> None:
    with pytest.raises(ValueError, match=r"portrait must be \[3, 16, 16\], not \[3, 8, 8\]"):
        invert(generator, torch.zeros(3, 8, 8), PooledPixels())
    with pytest.raises(ValueError, match="distance nan at step 0"):
        invert(generator, torch.full((3, 16, 16), float("nan")), PooledPixels())
    for field in ("lr", "initial_noise", "offset_penalty", "pixel_weight"):
        with pytest.raises(ValueError, match=field):
            InversionConfig(**{field: -1.0})
    with pytest.raises(ValueError, match="steps must be 1 or more"):
        InversionConfig(steps=0)


def test_ramp_starts_and_ends_low() -> None:
    ramp = [learning_rate_ramp(i / 1000) for i in range(1001)]
    assert ramp[0] < 0.05
    assert ramp[100] == pytest.approx(1.0)
    assert ramp[-1] == pytest.approx(0.0)
    assert max(ramp) <= 1.0


def test_spread_is_that_of_w(generator: Generator) -> None:
    w = generator.mapping(torch.randn(20_000, CONFIG.latent_dim, generator=torch.Generator().manual_seed(9)))
    assert latent_spread(generator).item() == pytest.approx(w.std(0).square().mean().sqrt().item(), rel=0.1)
