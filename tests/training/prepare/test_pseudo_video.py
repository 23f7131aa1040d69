"""Stills that move: the first frame is the still, motion is where the path says, the picture follows its points."""

from __future__ import annotations

import numpy as np
import pytest

from training.data.clip_format import Clip
from training.landmarks.teacher import MESH_TO_68
from training.landmarks.warp import ExpressionBank
from training.prepare.pseudo_video import HeadPath, StillMover, expression_path, head_path, pseudo_clip

SIDE = 96


def mesh() -> np.ndarray:
    """[478, 3] points spread over the front of an egg in the middle of the picture."""
    k = np.arange(478) + 0.5
    radius, angle = np.sqrt(k / 478), np.pi * (1 + 5**0.5) * k  # a sunflower: even, no two alike
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    depth = -np.sqrt(np.clip(1 - radius**2, 0, None))
    return np.stack([48 + 18 * x, 48 + 24 * y, 20 * depth], axis=1)


def picture() -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.stack([x * 2, y * 2, 128 + 60 * np.sin(x / 5)], axis=-1).astype(np.uint8)


def bank(rng: np.random.Generator) -> ExpressionBank:
    meshes = np.stack([mesh() + rng.normal(0, 0.4, (478, 3)) for _ in range(6)])
    return ExpressionBank(meshes, rng.random((6, 52)).astype(np.float32), np.array(["a"] * 3 + ["b"] * 3), mesh())


def still_path(num_frames: int, shift: tuple[float, float] = (0.0, 0.0)) -> HeadPath:
    zero = np.zeros(num_frames)
    return HeadPath(zero, zero, zero, zero + 1, np.tile(shift, (num_frames, 1)))


def test_without_motion_the_picture_stays() -> None:
    mover = StillMover(picture(), mesh(), mesh(), np.random.default_rng(0))
    moved, points = mover.move(still_path(2), 1, np.zeros((478, 3)))
    np.testing.assert_allclose(points, mesh(), atol=1e-9)
    assert np.abs(moved.astype(int) - picture()).max() <= 1


def test_a_shift_moves_face_and_points_and_leaves_the_edge() -> None:
    mover = StillMover(picture(), mesh(), mesh(), np.random.default_rng(0))
    moved, points = mover.move(still_path(2, (0.1, 0.0)), 1, np.zeros((478, 3)))
    shift = float((points - mesh())[:, 0].mean())
    height = float(np.ptp(mesh()[:468, 1]))
    assert shift == pytest.approx(0.1 * height, rel=1e-6)
    # Red grows by two a pixel to the right: at the face's middle it is that of a point further left.
    assert float(moved[48, 48, 0]) == pytest.approx(2 * (48 - shift), abs=3)
    assert abs(int(moved[2, 2, 0]) - int(picture()[2, 2, 0])) <= 4


def test_paths_start_at_the_still_and_stay_within_bounds() -> None:
    for seed in range(20):
        path = head_path(np.random.default_rng(seed), 12)
        assert path.yaw[0] == path.pitch[0] == path.roll[0] == 0
        assert path.zoom[0] == 1
        assert np.abs(path.yaw).max() <= 0.26
    expressions = expression_path(np.random.default_rng(1), bank(np.random.default_rng(2)), 9)
    assert expressions.shape == (9, 478, 3)
    assert not expressions[0].any()
    assert expressions[3].any()


def test_a_still_becomes_a_silent_clip_whose_points_follow_the_mesh() -> None:
    rng = np.random.default_rng(3)
    points = mesh()[list(MESH_TO_68), :2].astype(np.float32)[None] + 0.5
    clip = Clip("a", "someone", picture()[None], points, np.zeros(640, np.int16), has_sound=False)
    moved = pseudo_clip(clip, mesh(), mesh(), bank(rng), 6, rng)
    assert moved.frames.shape == (6, SIDE, SIDE, 3)
    assert moved.points.shape == (6, 68, 2)
    assert moved.samples.shape == (6 * 640,)
    assert not moved.has_sound
    np.testing.assert_array_equal(moved.frames[0], clip.frames[0])
    np.testing.assert_array_equal(moved.points[0], clip.points[0])
    assert np.abs(moved.points[1:] - clip.points).max() > 0.5
    assert np.abs(moved.frames[1:].astype(int) - clip.frames).max() > 10
