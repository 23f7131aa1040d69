"""The lip expert: pose taken out, windows, agreement over offsets, gradients, errors."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from talkface_core.errors import WeightsError
from talkface_core.face_assets import save_asset
from talkface_core.sound.mel import MEL_BINS, WINDOW_COLUMNS
from training.lip_expert.network import (
    CODE_VERSION,
    EMBEDDING_DIM,
    LipExpert,
    agreement_by_offset,
    lip_windows,
    load_lip_expert,
    offset_of_window,
    remove_pose,
)


def expert() -> LipExpert:
    torch.manual_seed(0)
    return LipExpert().eval()


def moved(points: torch.Tensor, angle: float, scale: float, shift: tuple[float, float]) -> torch.Tensor:
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=points.dtype)
    return scale * points @ turn.T + torch.tensor(shift, dtype=points.dtype)


def test_pose_is_taken_out_exactly() -> None:
    reference = torch.rand(68, 2, dtype=torch.float64)
    face = moved(reference, 0.4, 37.0, (100.0, -20.0))
    torch.testing.assert_close(remove_pose(face, reference), reference)


def test_lips_do_not_depend_on_pose_or_unit() -> None:
    points = torch.rand(3, 5, 68, 2)
    turned = moved(points, -0.3, 256.0, (12.0, 40.0))
    torch.testing.assert_close(expert().embed_lips(turned), expert().embed_lips(points), atol=1e-4, rtol=0)


def test_embeddings_are_unit_vectors() -> None:
    lips = expert().embed_lips(torch.rand(4, 5, 68, 2))
    sound = expert().embed_sound(torch.randn(4, 1, MEL_BINS, WINDOW_COLUMNS))
    assert lips.shape == sound.shape == (4, EMBEDDING_DIM)
    for vectors in (lips, sound):
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(4))
    agreement = expert()(torch.rand(4, 5, 68, 2), torch.randn(4, 1, MEL_BINS, WINDOW_COLUMNS))
    assert bool((agreement.abs() <= 1 + 1e-5).all())


def test_gradients_reach_every_frames_lips_and_no_hair() -> None:
    """In a loss the expert moves lips (and, by pose, eyes and nose), never points it does not look at."""
    points = torch.rand(1, 5, 68, 2, requires_grad=True)
    expert().embed_lips(points)[0, 0].backward()
    assert points.grad is not None
    assert bool((points.grad[0, :, 48:68].abs().sum(dim=(1, 2)) > 0).all())
    assert float(points.grad[0, :, 17:27].abs().sum()) == 0  # brows


def test_windows_are_centred_and_ends_repeat() -> None:
    points = torch.arange(6.0)[:, None, None].expand(6, 68, 2)
    windows = lip_windows(points)
    assert windows.shape == (6, 5, 68, 2)
    assert windows[:, :, 0, 0].tolist()[0] == [0, 0, 0, 1, 2]
    assert windows[:, :, 0, 0].tolist()[3] == [1, 2, 3, 4, 5]
    assert windows[:, :, 0, 0].tolist()[5] == [3, 4, 5, 5, 5]


@pytest.mark.parametrize("late", [-4, 0, 3])
def test_a_known_offset_is_found(late: int) -> None:
    """Sound vectors that equal the lips' vectors `late` frames before them."""
    vectors = torch.nn.functional.normalize(
        torch.randn(60, EMBEDDING_DIM, generator=torch.Generator().manual_seed(0)), dim=1
    )
    lips = vectors[20:40]
    sound = vectors[20 - late - 5 : 40 - late + 5]
    assert offset_of_window(lips, sound, 5) == late
    by_hand = torch.stack([(lips * sound[k : k + 20]).sum(dim=1).mean() for k in range(11)])
    torch.testing.assert_close(agreement_by_offset(lips, sound, 5), by_hand)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"points must be \[N, 5, 68, 2\]"):
        expert().embed_lips(torch.zeros(1, 4, 68, 2))
    with pytest.raises(ValueError, match=r"mel must be \[N, 1, 80"):
        expert().embed_sound(torch.zeros(1, 1, 40, 29))
    with pytest.raises(ValueError, match="sound must have 30 rows"):
        agreement_by_offset(torch.zeros(20, 8), torch.zeros(20, 8), 5)


def test_saved_expert_loads_with_the_same_answers(tmp_path: Path) -> None:
    one, path = expert(), tmp_path / "expert.safetensors"
    save_asset(path, one.state_dict(), kind="lip_expert", code_version=CODE_VERSION, config=one.config)
    points = torch.rand(2, 5, 68, 2)
    torch.testing.assert_close(load_lip_expert(str(path)).embed_lips(points), one.embed_lips(points), atol=5e-3, rtol=0)
    with pytest.raises(WeightsError, match="lip_expert weights"):
        load_lip_expert(str(tmp_path / "none.safetensors"))
