"""The collage of eyes and mouth shows what lies there, at the scale of the face."""

from __future__ import annotations

import pytest
import torch

from training.critics.crops import COLLAGE_PX, LEAST_SHARE, REACH, eyes_and_mouth


def face(eyes: float = 60.0) -> torch.Tensor:
    """[1, 68, 2]: outer eye corners `eyes` pixels apart around (100, 80), mouth around (104, 150)."""
    points = torch.zeros(1, 68, 2)
    points[:, 36:48] = torch.tensor([100.0, 80.0])
    points[:, 36, 0], points[:, 45, 0] = 100 - eyes / 2, 100 + eyes / 2
    points[:, 48:] = torch.tensor([104.0, 150.0])
    return points


@pytest.mark.parametrize("eyes", [60.0, 5.0])
def test_cuts_hold_the_coordinates_around_eyes_and_mouth(eyes: float) -> None:
    y, x = torch.meshgrid(torch.arange(256) + 0.5, torch.arange(256) + 0.5, indexing="ij")
    collage = eyes_and_mouth(torch.stack([x, y, x])[None], face(eyes))[0]
    assert collage.shape == (3, COLLAGE_PX, COLLAGE_PX)
    reach = REACH * max(eyes, LEAST_SHARE * 256)
    across = ((torch.arange(COLLAGE_PX) + 0.5) / COLLAGE_PX * 2 - 1) * reach
    down = ((torch.arange(64) + 0.5) / 64 * 2 - 1) * reach / 2
    for top, centre in ((0, (100.0, 80.0)), (64, (104.0, 150.0))):
        part = collage[:, top : top + 64]
        torch.testing.assert_close(part[0], (centre[0] + across).expand(64, -1), atol=1e-2, rtol=0)
        torch.testing.assert_close(part[1], (centre[1] + down)[:, None].expand(-1, COLLAGE_PX), atol=1e-2, rtol=0)


def test_gradient_stays_at_eyes_and_mouth() -> None:
    picture = torch.zeros(1, 3, 256, 256, requires_grad=True)
    eyes_and_mouth(picture, face()).sum().backward()
    assert picture.grad is not None
    assert float(picture.grad[0, 0, 80, 100]) > 0
    assert float(picture.grad[0, 0, 150, 104]) > 0
    assert float(picture.grad[0, 0, 112:118].abs().max()) == 0
