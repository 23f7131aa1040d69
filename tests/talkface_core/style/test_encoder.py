"""E_style: causal, chunked equals one-shot, saved state resumes; zero style is exactly zero."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from talkface_core.interfaces import BASE_STYLE_VALUES, STYLE_VALUES
from talkface_core.style.encoder import FACE_PX, MOUTH_PX, StyleDecoder, StyleEncoder, StyleState

FRAMES = 7


@pytest.fixture(scope="module")
def encoder() -> StyleEncoder:
    torch.manual_seed(0)
    return StyleEncoder().eval().requires_grad_(False)


def clip(seed: int = 0, batch: int = 2) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    faces = torch.rand(batch, FRAMES, 3, FACE_PX, FACE_PX, generator=g) * 2 - 1
    mouths = torch.rand(batch, FRAMES, 3, MOUTH_PX, MOUTH_PX, generator=g) * 2 - 1
    return faces, mouths


@pytest.mark.parametrize("chunks", [[1] * FRAMES, [2, 5], [3, 1, 3]])
def test_chunked_equals_one_shot(encoder: StyleEncoder, chunks: list[int]) -> None:
    faces, mouths = clip()
    whole, whole_state = encoder(faces, mouths)
    assert whole.shape == (2, FRAMES, STYLE_VALUES)
    state: StyleState | None = None
    parts, start = [], 0
    for length in chunks:
        values, state = encoder(faces[:, start : start + length], mouths[:, start : start + length], state)
        parts.append(values)
        start += length
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-4, atol=1e-5)
    assert state is not None
    torch.testing.assert_close(state.base[0], whole_state.base[0], rtol=1e-4, atol=1e-5)


def test_later_frames_do_not_change_earlier_values(encoder: StyleEncoder) -> None:
    faces, mouths = clip()
    other_faces, other_mouths = clip(1)
    changed = torch.cat([faces[:, :4], other_faces[:, 4:]], 1), torch.cat([mouths[:, :4], other_mouths[:, 4:]], 1)
    a, b = encoder(faces, mouths)[0], encoder(*changed)[0]
    torch.testing.assert_close(a[:, :4], b[:, :4], rtol=1e-4, atol=1e-5)
    assert (a[:, 4:] - b[:, 4:]).abs().max() > 1e-3


def test_the_past_matters(encoder: StyleEncoder) -> None:
    """The LSTM sees transitions: the same last frame after another past gives other values."""
    faces, mouths = clip()
    moved = faces.clone()
    moved[:, :-1] = clip(2)[0][:, :-1]
    assert (encoder(faces, mouths)[0][:, -1] - encoder(moved, mouths)[0][:, -1]).abs().max() > 1e-4


def test_rows_of_a_batch_are_apart(encoder: StyleEncoder) -> None:
    faces, mouths = clip()
    both = encoder(faces, mouths)[0]
    torch.testing.assert_close(both[1:], encoder(faces[1:], mouths[1:])[0], rtol=1e-4, atol=1e-5)


def test_layers_see_only_their_picture(encoder: StyleEncoder) -> None:
    faces, mouths = clip()
    other_faces, other_mouths = clip(3)
    values = encoder(faces, mouths)[0]
    base_changed, lips_changed = encoder(other_faces, mouths)[0], encoder(faces, other_mouths)[0]
    torch.testing.assert_close(base_changed[..., BASE_STYLE_VALUES:], values[..., BASE_STYLE_VALUES:])
    torch.testing.assert_close(lips_changed[..., :BASE_STYLE_VALUES], values[..., :BASE_STYLE_VALUES])
    assert (base_changed - values).abs().max() > 1e-3
    assert (lips_changed - values).abs().max() > 1e-3


def test_zero_style_is_exactly_no_style_and_layers_add() -> None:
    torch.manual_seed(0)
    decoder = StyleDecoder(64).requires_grad_(False)
    assert torch.equal(decoder(torch.zeros(1, STYLE_VALUES)), torch.zeros(1, 64))
    # Matrix products of other batch sizes may round their last bit differently.
    assert decoder(torch.zeros(3, STYLE_VALUES)).abs().max() < 1e-6
    values = torch.randn(3, STYLE_VALUES)
    base, lips = values.clone(), values.clone()
    base[:, BASE_STYLE_VALUES:] = 0
    lips[:, :BASE_STYLE_VALUES] = 0
    torch.testing.assert_close(decoder(values), decoder(base) + decoder(lips))
    assert decoder(values).abs().max() > 0.01


def test_gradients_reach_every_parameter() -> None:
    torch.manual_seed(0)
    encoder, decoder = StyleEncoder(), StyleDecoder(16)
    values, _ = encoder(*(t[:, :2] for t in clip()))
    decoder(values.flatten(0, 1)).square().sum().backward()
    for name, parameter in (*encoder.named_parameters(), *decoder.named_parameters()):
        if name in ("base.2.bias", "lips.2.bias"):
            continue  # cancels: d is measured from its value at zero style
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
