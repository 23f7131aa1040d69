"""Stills that become clips: the first frame is the still, the points follow the mesh, expressions come smoothly."""

from __future__ import annotations

import numpy as np

from training.data.clip_format import Clip
from training.landmarks.pseudo_video import expression_path, pseudo_clip
from training.landmarks.teacher import MESH_TO_68
from training.landmarks.warp import ExpressionBank

SIDE = 96


def mesh() -> np.ndarray:
    """[478, 3] points spread over the front of an egg in the middle of the picture."""
    k = np.arange(478) + 0.5
    radius, angle = np.sqrt(k / 478), np.pi * (1 + 5**0.5) * k  # a sunflower: even, no two alike
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    depth = -np.sqrt(np.clip(1 - radius**2, 0, None))
    return np.stack([48 + 18 * x, 48 + 24 * y, 20 * depth], axis=1)


def bank(rng: np.random.Generator) -> ExpressionBank:
    meshes = np.stack([mesh() + rng.normal(0, 0.4, (478, 3)) for _ in range(6)])
    return ExpressionBank(meshes, rng.random((6, 52)).astype(np.float32), np.array(["a"] * 3 + ["b"] * 3), mesh())


def test_expressions_start_from_none_and_pass_smoothly() -> None:
    expressions = expression_path(np.random.default_rng(1), bank(np.random.default_rng(2)), 13)
    assert expressions.shape == (13, 478, 3)
    assert not expressions[0].any()
    assert expressions[4].any()
    steps = np.abs(np.diff(expressions, axis=0)).max(axis=(1, 2))
    # Halfway between two keys the cosine moves fastest: by half the whole way when a key is three frames apart.
    assert steps.max() <= 0.55 * np.abs(np.diff(expressions[::3], axis=0)).max() + 1e-9


def test_a_still_becomes_a_silent_clip_whose_points_follow_the_mesh() -> None:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:SIDE, :SIDE]
    picture = np.stack([x * 2, y * 2, 128 + 60 * np.sin(x / 5)], axis=-1).astype(np.uint8)
    points = mesh()[list(MESH_TO_68), :2].astype(np.float32)[None] + 0.5
    clip = Clip("a", "someone", picture[None], points, np.zeros(640, np.int16), has_sound=False)
    moved = pseudo_clip(clip, mesh(), mesh(), bank(rng), 6, rng)
    assert moved.frames.shape == (6, SIDE, SIDE, 3)
    assert moved.points.shape == (6, 68, 2)
    assert moved.samples.shape == (6 * 640,)
    assert not moved.has_sound
    np.testing.assert_array_equal(moved.frames[0], clip.frames[0])
    np.testing.assert_array_equal(moved.points[0], clip.points[0])
    assert np.abs(moved.points[1:] - clip.points).max() > 0.5
    # Red says where a pixel was: at the moved nose it is that of the still's nose.
    nose = moved.points[5, 30]
    red = float(moved.frames[5][round(float(nose[1])), round(float(nose[0])), 0])
    assert abs(red / 2 - float(clip.points[0, 30, 0])) < 2.5
