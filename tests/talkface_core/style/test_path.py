"""The style path: whole, in pieces and frame by frame it gives the same values; what it remembers and covers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from talkface_core.style.encoder import StyleEncoder
from talkface_core.style.path import StylePathState, StyleSettings, encode_style
from talkface_core.style.session import portrait_points

FRAMES = 12
SIDE = 48
ALL_SETTINGS = [StyleSettings(mask_mouth=m, center=c) for m in (True, False) for c in (True, False)]


@pytest.fixture(scope="module")
def encoder() -> StyleEncoder:
    torch.manual_seed(0)
    return StyleEncoder().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def clip() -> tuple[Tensor, Tensor]:
    """Crops [2, T, 3, P, P] and points [2, T, 68, 2] of two faces that move."""
    torch.manual_seed(1)
    crops = torch.rand(2, FRAMES, 3, SIDE, SIDE) * 2 - 1
    points = torch.from_numpy(portrait_points()).float() * SIDE + torch.randn(2, FRAMES, 1, 2)
    return crops, points


@pytest.mark.parametrize("settings", ALL_SETTINGS, ids=str)
@pytest.mark.parametrize("pieces", [[1] * FRAMES, [5, 1, 6]], ids=["frame by frame", "chunks"])
def test_in_pieces_equals_at_once(
    encoder: StyleEncoder, clip: tuple[Tensor, Tensor], settings: StyleSettings, pieces: list[int]
) -> None:
    crops, points = clip
    at_once, _ = encode_style(encoder, settings, crops, points)
    state: StylePathState | None = None
    parts = []
    for crop, point in zip(crops.split(pieces, dim=1), points.split(pieces, dim=1), strict=True):
        part, state = encode_style(encoder, settings, crop, point, state)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, dim=1), at_once, atol=1e-5, rtol=0)


def test_centring_takes_the_mean_of_the_past_away(encoder: StyleEncoder, clip: tuple[Tensor, Tensor]) -> None:
    raw, _ = encode_style(encoder, StyleSettings(), *clip)
    centred, _ = encode_style(encoder, StyleSettings(center=True), *clip)
    for t in range(FRAMES):
        torch.testing.assert_close(centred[:, t], raw[:, t] - raw[:, : t + 1].mean(dim=1), atol=1e-6, rtol=0)
    assert not centred[:, 0].any()


def test_each_clips_cover_grows_by_its_own_factor(encoder: StyleEncoder, clip: tuple[Tensor, Tensor]) -> None:
    crops, points = clip
    grown, _ = encode_style(encoder, StyleSettings(), crops, points, cover_growth=torch.tensor([1.0, 1.5]))
    plain, _ = encode_style(encoder, StyleSettings(), crops, points)
    torch.testing.assert_close(grown[0], plain[0], atol=1e-6, rtol=0)
    assert (grown[1] - plain[1]).abs().max() > 1e-3
    # What is not covered does not grow.
    settings = StyleSettings(mask_mouth=False)
    still, _ = encode_style(encoder, settings, crops, points, cover_growth=torch.tensor([1.0, 1.5]))
    torch.testing.assert_close(still, encode_style(encoder, settings, crops, points)[0], atol=0, rtol=0)


def test_gradients_reach_the_encoder_through_the_mean(clip: tuple[Tensor, Tensor]) -> None:
    trained = StyleEncoder()
    values, _ = encode_style(trained, StyleSettings(center=True), *clip)
    values[:, 1:].square().sum().backward()
    assert trained.base.values.weight.grad is not None
    assert trained.base.values.weight.grad.any()
    # A constant that is in every frame has no say.
    torch.testing.assert_close(trained.base.values.bias.grad, torch.zeros(12), atol=1e-4, rtol=0)
