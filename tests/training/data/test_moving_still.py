"""A still's head moves where the path says; the background stays; without motion nothing changes."""

from __future__ import annotations

import numpy as np
import pytest

from training.data.moving_still import HeadPath, MovingStill, head_path, scattered_poses

SIDE = 96


def control() -> np.ndarray:
    """[60, 3] the front of an egg."""
    k = np.arange(60) + 0.5
    radius, angle = np.sqrt(k / 60), np.pi * (1 + 5**0.5) * k
    return np.stack(
        [48 + 18 * radius * np.cos(angle), 48 + 24 * radius * np.sin(angle), -20 * np.sqrt(1 - radius**2)], axis=1
    )


def picture() -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.stack([x * 2, y * 2, 128 + 60 * np.sin(x / 5)], axis=-1).astype(np.uint8)


def path(**changes: object) -> HeadPath:
    zero = np.zeros(2)
    values = {"yaw": zero, "pitch": zero, "roll": zero, "zoom": zero + 1, "shift": np.zeros((2, 2))}
    return HeadPath(**{**values, **changes})  # type: ignore[arg-type]


def test_without_motion_the_picture_stays() -> None:
    still = MovingStill(picture(), control())
    np.testing.assert_allclose(still.posed(control(), path(), 1), control(), atol=1e-9)
    assert np.abs(still.picture(path(), 1).astype(int) - picture()).max() <= 1


def test_a_shift_moves_the_face_and_leaves_the_edge() -> None:
    still = MovingStill(picture(), control())
    moving = path(shift=np.array([[0.0, 0.0], [0.1, 0.0]]))
    shift = float((still.posed(control(), moving, 1) - control())[:, 0].mean())
    assert shift == pytest.approx(0.1 * still.size)
    moved = still.picture(moving, 1)
    # Red grows by two a pixel to the right: at the face's middle it is that of a point further left.
    assert float(moved[48, 48, 0]) == pytest.approx(2 * (48 - shift), abs=3)
    assert abs(int(moved[2, 2, 0]) - int(picture()[2, 2, 0])) <= 4


def test_a_turn_moves_what_is_near_further_than_what_is_far() -> None:
    still = MovingStill(picture(), control())
    turned = still.posed(control(), path(yaw=np.array([0.0, 0.2])), 1) - control()
    nearest, farthest = control()[:, 2].argmin(), control()[:, 2].argmax()
    assert abs(turned[nearest, 0]) > 1.3 * abs(turned[farthest, 0])


def test_a_roll_turns_clockwise_about_the_neck() -> None:
    still = MovingStill(picture(), control())
    points = still.posed(control(), path(roll=np.array([0.0, 0.1])), 1)
    top, bottom = control()[:, 1].argmin(), control()[:, 1].argmax()
    assert points[top, 0] - control()[top, 0] > points[bottom, 0] - control()[bottom, 0] > 0


def test_paths_start_at_the_still_and_stay_within_bounds() -> None:
    for seed in range(20):
        for made in (head_path(np.random.default_rng(seed), 12), scattered_poses(np.random.default_rng(seed), 12)):
            assert made.yaw[0] == made.pitch[0] == made.roll[0] == 0
            assert made.zoom[0] == 1
            assert np.abs(made.yaw).max() <= 0.26
            assert np.abs(made.yaw).max() > 0
