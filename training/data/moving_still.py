"""A still whose head moves: points with depth turn, nod, roll and shift, and the picture bends after them.

A ring of points around the head goes along with the skull, points of the picture's edge stay, so that the background
does. What a bent picture cannot show is the side of the head that was hidden and teeth behind closed lips.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from training.data.thin_plate import Points, bend

SPLINE_SIDE = 64
"""Cells a side on which the spline is evaluated."""
RING_RADII = (0.8, 1.05)
"""Rings around the head in face sizes: hair and outline."""
RING_RAISE = 0.25
"""The rings' centre above the face's, in face sizes: there is more head above the brows than below the chin."""
RING_DEPTH = 0.35
"""How far the outline of the head lies behind the eyes' plane, in face sizes."""
ANCHOR_GAP = 0.35
"""Points of the picture's edge nearer than this to the head, in face sizes, go along with it instead of staying."""
YAW, PITCH, ROLL, ZOOM, SHIFT = 0.11, 0.08, 0.08, 0.06, 0.09
"""Standard size of a path's swing: radians, radians, radians, share, face sizes."""
MAX_SWINGS = 2.3
"""A path goes no further than so many of them: a still that is turned by more than 15 degrees folds at the cheek."""


@dataclass(frozen=True, slots=True)
class HeadPath:
    """Pose over T frames, relative to the still."""

    yaw: NDArray[np.float64]
    pitch: NDArray[np.float64]
    roll: NDArray[np.float64]
    """[T] radians each"""
    zoom: NDArray[np.float64]
    """[T] factor"""
    shift: NDArray[np.float64]
    """[T, 2] face sizes"""


def head_path(rng: np.random.Generator, num_frames: int) -> HeadPath:
    """A smooth path that starts at the still: two slow waves in each direction, as strong as heads in calls move."""
    t = np.arange(num_frames) / num_frames
    liveliness = rng.choice([0.4, 1.0, 1.8], p=[0.25, 0.5, 0.25])

    def wave(size: float) -> NDArray[np.float64]:
        swings = [
            rng.normal(0, size) * np.sin(2 * np.pi * (rng.uniform(0.5, 2.0) * t + rng.uniform())) for _ in range(2)
        ]
        path = np.sum(swings, axis=0) * liveliness
        bounded: NDArray[np.float64] = np.clip(path - path[0], -MAX_SWINGS * size, MAX_SWINGS * size)
        return bounded

    return HeadPath(wave(YAW), wave(PITCH), wave(ROLL), 1 + wave(ZOOM), np.stack([wave(SHIFT), wave(0.7 * SHIFT)], 1))


def scattered_poses(rng: np.random.Generator, count: int) -> HeadPath:
    """`count` poses that do not follow one another; the first is the still itself."""

    def draw(size: float) -> NDArray[np.float64]:
        values = np.clip(rng.normal(0, size, count), -MAX_SWINGS * size, MAX_SWINGS * size)
        values[0] = 0
        return values

    return HeadPath(draw(YAW), draw(PITCH), draw(ROLL), 1 + draw(ZOOM), np.stack([draw(SHIFT), draw(0.7 * SHIFT)], 1))


class MovingStill:
    """Bends one still.

    Args:
        picture: [R, R, 3] uint8.
        control: [N, 3] pixels: points of the face that carry the motion, the third coordinate growing away from the
            camera.
    """

    def __init__(self, picture: NDArray[np.uint8], control: Points) -> None:
        self._picture = torch.from_numpy(picture.copy()).permute(2, 0, 1).float()
        self._side = picture.shape[0]
        self._control = control
        low, high = control[:, :2].min(0), control[:, :2].max(0)
        self.size = float((high - low).max())
        """Larger side of the face in pixels."""
        self._centre = np.array([*(low + high) / 2, float(np.median(control[:, 2]))])
        self._outline = self._ring()
        self._anchors = self._still_points()

    def posed(self, points: Points, path: HeadPath, frame: int) -> Points:
        """[M, 3] points of the head where they are at a frame of the path."""
        cos, sin = np.cos(path.roll[frame]), np.sin(path.roll[frame])
        in_plane = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        pose = in_plane @ turn(float(path.yaw[frame]), float(path.pitch[frame])) * path.zoom[frame]
        # Heads turn about the neck: below the face and behind it.
        pivot = self._centre + np.array([0.0, 0.6, 0.5]) * self.size
        shift = np.array([*path.shift[frame], 0.0]) * self.size
        moved: Points = (points - pivot) @ pose.T + pivot + shift
        return moved

    def picture(self, path: HeadPath, frame: int, expression: Points | None = None) -> NDArray[np.uint8]:
        """[R, R, 3] uint8 at a frame of the path.

        Args:
            expression: [N, 3] how the control points move within the face, before it is posed; None: not at all.
        """
        control = self._control if expression is None else self._control + expression
        ground = np.concatenate(
            [self.posed(control, path, frame)[:, :2], self.posed(self._outline, path, frame)[:, :2], self._anchors]
        )
        origin = np.concatenate([self._control[:, :2], self._outline[:, :2], self._anchors])
        bent = bend(self._picture, ground, origin, spline_side=SPLINE_SIDE)
        return bent.permute(1, 2, 0).round().clamp(0, 255).to(torch.uint8).numpy()

    def _ring(self) -> Points:
        angles = np.linspace(0, 2 * np.pi, 17)[:-1]
        circle = np.stack([np.cos(angles), np.sin(angles) - RING_RAISE], axis=1)
        points = np.concatenate([self._centre[:2] + self.size * r * circle for r in RING_RADII])
        points = points[points[:, 1] < self._centre[1] + 0.75 * self.size]  # the neck bends between head and shoulders
        return np.column_stack([points, np.full(len(points), self._centre[2] + RING_DEPTH * self.size)])

    def _still_points(self) -> Points:
        """[M, 2] points of the picture's edge that stay, and far ones that keep the spline flat outside."""
        line = np.linspace(0, self._side, 9)
        edge = np.array([(x, y) for x in line for y in line if {x, y} & {0.0, float(self._side)}])
        head = np.concatenate([self._control[:, :2], self._outline[:, :2]])
        gaps = np.linalg.norm(edge[:, None] - head[None], axis=-1).min(axis=1)
        far = (np.array([(x, y) for x in (0, 0.5, 1) for y in (0, 0.5, 1) if (x, y) != (0.5, 0.5)]) - 0.5) * 2.2 + 0.5
        return np.concatenate([edge[gaps > ANCHOR_GAP * self.size], far * self._side])


def turn(yaw: float, pitch: float) -> Points:
    """[3, 3] rotation about the vertical, then the horizontal axis; radians."""
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    rotation: Points = about_x @ about_y
    return rotation
