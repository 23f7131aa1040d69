"""Whose face is it: by what the face looks like, not by where it is, how bright it is or what is behind it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from training.metrics import face_signature, recognised_share


def face(
    person: int, *, at: tuple[int, int] = (64, 64), wall: float = 0.5, light: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Two frames [2, 3, 128, 128] of a face of coloured blocks, with 68 points on its border."""
    random = torch.Generator().manual_seed(person)
    blocks = torch.rand(3, 6, 6, generator=random).repeat_interleave(8, 1).repeat_interleave(8, 2)
    frame = torch.full((3, 128, 128), wall)
    x, y = at[0] - 24, at[1] - 24
    frame[:, y : y + 48, x : x + 48] = blocks
    turns = torch.linspace(0, 2 * torch.pi, 68)
    around = torch.stack([at[0] + 24 * torch.cos(turns), at[1] + 24 * torch.sin(turns)], dim=-1)
    return (frame * light).expand(2, -1, -1, -1), around.expand(2, -1, -1)


def test_place_light_and_wall_do_not_matter() -> None:
    here = face_signature(*face(1))
    for other in (face(1, at=(70, 58)), face(1, wall=0.9), face(1, light=0.6)):
        assert float((face_signature(*other) - here).abs().mean()) < 0.25 * float(
            (face_signature(*face(2)) - here).abs().mean()
        )


def test_who_is_nearest_to_himself() -> None:
    persons = ["a", "b", "c", "c"]
    true = [face_signature(*face(i)) for i in (1, 2, 3, 3)]
    drawn = [face_signature(*face(i, at=(60, 66), light=0.8)) for i in (1, 2, 3, 3)]
    assert recognised_share(drawn, true, persons) == 1.0
    average = torch.stack(true).mean(0)
    assert recognised_share([average] * 4, true, persons) <= 0.5
    assert recognised_share([true[1], true[0], true[2], true[2]], true, persons) == 0.5


def test_another_clip_of_the_same_person_is_asked_where_there_is_one() -> None:
    # Drawn exactly as the true clips; the first person looks quite different in his other clip, and that one decides.
    true = [torch.full((3,), value) for value in (0.0, 10.0, 1.0)]
    assert recognised_share(true, true, ["a", "a", "b"]) == pytest.approx(1 / 3)
    assert recognised_share(true, true, ["a", "b", "c"]) == 1.0
    assert recognised_share(true[:1], true[:1], ["a"]) is None
