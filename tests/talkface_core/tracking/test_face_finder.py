"""The face finder: boxes from maps, suppression, sizes, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from talkface_core.tracking.face_finder import (
    STRIDE,
    FaceBox,
    FaceFinder,
    FaceFinderNet,
    FinderOutput,
    decode_boxes,
    keep_separate,
)


def tiny_net() -> FaceFinderNet:
    torch.manual_seed(0)
    return FaceFinderNet(widths=(4, 4, 4, 4, 4, 4), head_width=4).eval()


class OneFaceNet(FaceFinderNet):
    """Answers one face of 10x12 cells at the brightest cell: tests the way of coordinates through sizes and padding."""

    def __init__(self) -> None:
        super().__init__(widths=(4, 4, 4, 4, 4, 4), head_width=4)

    def forward(self, pictures: torch.Tensor) -> FinderOutput:
        cells = torch.nn.functional.avg_pool2d(pictures.mean(dim=1, keepdim=True), STRIDE)
        logits = torch.full_like(cells, -9.0)
        flat = int(cells.flatten().argmax())
        logits.view(-1)[flat] = 4.0
        size = torch.tensor([math.log(10.0), math.log(12.0)]).view(1, 2, 1, 1).expand(1, 2, *cells.shape[2:])
        return FinderOutput(logits, size, torch.full((1, 2, *cells.shape[2:]), 0.5))


def test_decode_one_face() -> None:
    logits, size, offset = torch.full((1, 1, 8, 8), -9.0), torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 8, 8)
    logits[0, 0, 3, 5] = 3.0
    logits[0, 0, 3, 6] = 2.5  # beside a better one: the same face
    size[0, :, 3, 5] = torch.tensor([math.log(2.0), math.log(4.0)])
    offset[0, :, 3, 5] = torch.tensor([0.25, 0.75])
    (box,) = decode_boxes(FinderOutput(logits, size, offset), 0.5)
    assert (box.x, box.y, box.width, box.height) == pytest.approx((5.25 * 8 - 8, 3.75 * 8 - 16, 16, 32), abs=1e-4)
    assert box.score == pytest.approx(1 / (1 + math.exp(-3)), abs=1e-5)


def test_overlap_and_suppression() -> None:
    a, b = FaceBox(0, 0, 10, 10, 0.9), FaceBox(5, 0, 10, 10, 0.8)
    assert a.overlap(b) == pytest.approx(1 / 3, abs=1e-6)
    assert a.overlap(FaceBox(20, 20, 5, 5, 1)) == 0
    near = FaceBox(1, 1, 10, 10, 0.95)
    far = FaceBox(50, 50, 10, 10, 0.6)
    assert keep_separate([a, near, far]) == [near, far]


@pytest.mark.parametrize(("height", "width"), [(480, 640), (1000, 300), (100, 100), (64, 600)])
def test_boxes_come_back_in_pixels_of_the_picture(height: int, width: int) -> None:
    frame = np.zeros((height, width, 3), dtype=np.uint8)
    x, y = int(width * 0.7), int(height * 0.3)
    reach = max(4, max(height, width) // 30)
    frame[max(0, y - reach) : y + reach, max(0, x - reach) : x + reach] = 255
    boxes = FaceFinder(OneFaceNet()).find(frame)
    scale = max(height, width) / 192  # the coarse look: one cell is 8 of its pixels
    assert any(math.dist(box.centre, (x, y)) < 8 * scale * 1.5 for box in boxes)


def test_find_is_bounded_and_sorted() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    boxes = FaceFinder(tiny_net(), min_score=0.0).find(frame, max_faces=3)
    assert len(boxes) <= 3
    assert [b.score for b in boxes] == sorted((b.score for b in boxes), reverse=True)


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((64, 64), dtype=np.uint8),
        np.zeros((64, 64, 4), dtype=np.uint8),
        np.zeros((64, 64, 3), dtype=np.float32),
        np.zeros((4, 64, 3), dtype=np.uint8),
    ],
)
def test_other_pictures_are_refused(frame: np.ndarray) -> None:
    with pytest.raises(ValueError, match="a picture must be"):
        FaceFinder(tiny_net()).find(frame)


def test_network_refuses_other_shapes() -> None:
    with pytest.raises(ValueError, match="pictures must be"):
        tiny_net()(torch.zeros(1, 3, 64, 100))
