"""The chip is the square that the points span, wherever it lies and however large the picture is."""

from __future__ import annotations

import pytest
import torch

from talkface_core.judges.face_chip import CHIP_MARGIN, CHIP_PX, face_chips


def points_in(left: float, top: float, width: float, height: float) -> torch.Tensor:
    """[1, 68, 2] points on the edge of a box."""
    along = torch.linspace(0, 1, 34)
    upper = torch.stack([left + along * width, torch.full((34,), top)], 1)
    lower = torch.stack([left + along * width, torch.full((34,), top + height)], 1)
    return torch.cat([upper, lower])[None]


def ramps(height: int, width: int) -> torch.Tensor:
    """[1, 3, H, W]: every pixel holds its centre's x, its y, and 1."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack([x, y, torch.ones(height, width)])[None]


@pytest.mark.parametrize(("height", "width"), [(256, 256), (200, 320), (900, 1200)])
def test_chip_covers_the_box(height: int, width: int) -> None:
    """On a ramp the chip holds the coordinates that it was sampled at."""
    points = points_in(width * 0.3, height * 0.3, height * 0.2, height * 0.3)
    chip = face_chips(ramps(height, width), points)[0]
    side = height * 0.3 * CHIP_MARGIN
    centre = torch.tensor([width * 0.3 + height * 0.1, height * 0.45])
    steps = ((torch.arange(CHIP_PX) + 0.5) / CHIP_PX - 0.5) * side
    torch.testing.assert_close(chip[0], (centre[0] + steps)[None, :].expand(CHIP_PX, -1), atol=1e-2, rtol=0)
    torch.testing.assert_close(chip[1], (centre[1] + steps)[:, None].expand(-1, CHIP_PX), atol=1e-2, rtol=0)


def test_box_beyond_the_edge_repeats_it() -> None:
    chip = face_chips(ramps(64, 64), points_in(0, 0, 40, 40))[0]
    torch.testing.assert_close(chip[2], torch.ones(CHIP_PX, CHIP_PX))
    assert float(chip[0].min()) == pytest.approx(0.5, abs=1e-4)


def test_large_face_is_averaged_not_picked() -> None:
    """A fine checkerboard in a face of 960 pixels comes out grey."""
    y, x = torch.meshgrid(torch.arange(1200), torch.arange(1200), indexing="ij")
    board = ((x + y) % 2 * 2 - 1).float().expand(1, 3, -1, -1)
    chip = face_chips(board, points_in(200, 200, 768, 768))
    assert float(chip.abs().mean()) < 0.1


def test_gradient_reaches_the_face_alone() -> None:
    picture = torch.zeros(1, 3, 128, 128, requires_grad=True)
    face_chips(picture, points_in(40, 40, 32, 32)).sum().backward()
    assert picture.grad is not None
    assert float(picture.grad[0, :, 56, 56].min()) > 0
    assert float(picture.grad[0, :, :30].abs().max()) == 0


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(ValueError, match=r"\[2, 68, 2\]"):
        face_chips(torch.zeros(1, 3, 8, 8), torch.zeros(2, 68, 2))
