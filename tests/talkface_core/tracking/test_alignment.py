"""Crops: FFHQ's formula, the round trip of coordinates, cutting and putting back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from talkface_core.tracking.alignment import CropSquare, box_square, cut, cut_tensor, ffhq_square, paste


def face_points(centre: tuple[float, float] = (100.0, 120.0), size: float = 60.0) -> np.ndarray:
    """A plausible upright face of 68 points: eyes, mouth and a jaw of the given width."""
    points = np.zeros((68, 2))
    angle = np.linspace(np.pi, 0, 17)
    points[:17] = np.stack([np.cos(angle) * 0.5, np.sin(angle) * 0.55], axis=1)
    points[17:27] = np.stack([np.linspace(-0.4, 0.4, 10), np.full(10, -0.35)], axis=1)
    points[27:36] = np.stack([np.zeros(9), np.linspace(-0.2, 0.15, 9)], axis=1)
    points[36:42] = np.array([-0.22, -0.2]) + 0.03 * np.array([[-2, 0], [-1, -1], [1, -1], [2, 0], [1, 1], [-1, 1]])
    points[42:48] = np.array([0.22, -0.2]) + 0.03 * np.array([[-2, 0], [-1, -1], [1, -1], [2, 0], [1, 1], [-1, 1]])
    turn = np.linspace(np.pi, -np.pi, 12, endpoint=False)
    points[48:60] = np.array([0, 0.3]) + np.stack([np.cos(turn) * 0.18, -np.sin(turn) * 0.07], axis=1)
    points[60:68] = np.array([0, 0.3])
    return points * size + np.array(centre)


def picture(height: int = 240, width: int = 200, seed: int = 0) -> np.ndarray:
    """Smooth colours, so that resampling errors are small."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (12, 10, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)).copy()


def test_ffhq_square_equals_the_published_formula() -> None:
    rng = np.random.default_rng(1)
    lm = face_points() + rng.normal(0, 2, (68, 2))
    # From ffhq-dataset's recreate_aligned_images, with its own slices.
    eye_left, eye_right = lm[36:42].mean(0), lm[42:48].mean(0)
    eye_avg, eye_to_eye = (eye_left + eye_right) * 0.5, eye_right - eye_left
    mouth_outer = lm[48:60]
    mouth_avg = (mouth_outer[0] + mouth_outer[6]) * 0.5
    eye_to_mouth = mouth_avg - eye_avg
    x = eye_to_eye - np.flipud(eye_to_mouth) * [-1, 1]
    x /= np.hypot(*x)
    x *= max(np.hypot(*eye_to_eye) * 2.0, np.hypot(*eye_to_mouth) * 1.8)
    y = np.flipud(x) * [-1, 1]
    c = eye_avg + eye_to_mouth * 0.1
    quad = np.stack([c - x - y, c - x + y, c + x + y, c + x - y])
    np.testing.assert_allclose(ffhq_square(lm).corners(), quad, atol=1e-9)


def test_coordinates_there_and_back() -> None:
    square = CropSquare(50.3, 71.9, 20.0, 8.0)
    points = np.random.default_rng(0).uniform(-50, 200, (4, 68, 2))
    np.testing.assert_allclose(square.to_picture(square.to_crop(points, 256), 256), points, atol=1e-9)
    np.testing.assert_allclose(square.to_crop(square.corners(), 64), [[0, 0], [0, 64], [64, 64], [64, 0]], atol=1e-9)


def test_cut_of_whole_picture_is_the_picture() -> None:
    frame = picture(128, 128)
    np.testing.assert_array_equal(cut(frame, CropSquare.upright(64, 64, 128), 128), frame)


def test_cut_shows_at_to_crop_what_the_picture_shows_there() -> None:
    """A dot in the picture appears in a turned, shrunken crop where `to_crop` says."""
    frame = np.zeros((300, 400, 3), dtype=np.uint8)
    frame[140:150, 210:220] = 255  # centre (215, 145)
    square = CropSquare(200, 150, 75.0, 30.0)
    crop = cut(frame, square, 48).astype(float).mean(axis=2)
    y, x = np.mgrid[0:48, 0:48] + 0.5
    seen = np.array([(crop * x).sum(), (crop * y).sum()]) / crop.sum()
    np.testing.assert_allclose(seen, square.to_crop(np.array([215.0, 145.0]), 48), atol=0.25)


def test_cut_has_gradients() -> None:
    frame = torch.rand(1, 3, 64, 64, requires_grad=True)
    cut_tensor(frame, CropSquare(30, 30, 18.0, 4.0), 16).sum().backward()
    assert frame.grad is not None
    assert float(frame.grad.abs().sum()) > 0


@pytest.mark.parametrize("centre", [(-80.0, -80.0), (100.0, 120.0), (600.0, 30.0)])
@pytest.mark.parametrize("side", [1.0, 37.0, 900.0])
def test_cut_and_paste_anywhere(centre: tuple[float, float], side: float) -> None:
    """Squares beyond the border, tiny or huge, cut and paste without an error and keep the shape."""
    frame = picture()
    square = CropSquare.upright(*centre, side)
    crop = cut(frame, square, 32)
    assert crop.shape == (32, 32, 3)
    assert paste(frame, crop, square).shape == frame.shape


def test_paste_of_an_untouched_crop_changes_little_inside_and_nothing_outside() -> None:
    frame = picture(480, 400)
    square = CropSquare(200, 230, 90.0, 25.0)
    out = paste(frame, cut(frame, square, 256), square)
    difference = np.abs(out.astype(int) - frame.astype(int))
    assert difference.max() <= 6
    y, x = np.mgrid[0:480, 0:400] + 0.5
    outside = np.abs(square.to_crop(np.stack([x, y], axis=-1), 2) - 1).max(axis=2) > 1
    assert difference[outside].max() == 0


def test_paste_puts_new_content_in_the_middle_and_leaves_the_original_alone() -> None:
    frame = picture()
    before = frame.copy()
    square = CropSquare.upright(100, 120, 80)
    out = paste(frame, np.full((64, 64, 3), 255, dtype=np.uint8), square)
    assert (out[100:140, 80:120] == 255).all()
    np.testing.assert_array_equal(frame, before)


def test_paste_refuses_a_feather_beyond_half() -> None:
    with pytest.raises(ValueError, match="feather"):
        paste(picture(), picture(), CropSquare.upright(50, 50, 20), feather=0.6)


def test_points_that_are_no_face_are_refused() -> None:
    with pytest.raises(ValueError, match="not landmarks"):
        ffhq_square(np.zeros((68, 2)))
    with pytest.raises(ValueError, match=r"must be \[68, 2\]"):
        ffhq_square(np.zeros((5, 68, 2)))
    with pytest.raises(ValueError, match="NaN"):
        ffhq_square(np.full((68, 2), np.nan))


def test_box_square_leaves_room() -> None:
    assert box_square((10, 20), 100).side == pytest.approx(160)
