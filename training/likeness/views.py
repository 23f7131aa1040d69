"""More views of one picture: the head shifted, nearer, rolled, turned a little, so that tuning learns to move it.

No 3D landmarks are needed: the 68 points get the depth of an ellipsoid with a nose on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talkface_core.tracking.landmarks import NOSE
from training.data.moving_still import MovingStill, scattered_poses

HEAD_DEPTH = 0.45
"""From the face's outline to its middle, in face sizes."""
NOSE_DEPTH = 0.10
"""How far the nose's tip stands out further."""
NOSE_TIP = NOSE[3]


@dataclass(frozen=True, slots=True)
class View:
    """A picture of the person and where the face lies in it."""

    picture: NDArray[np.uint8]
    """[R, R, 3]"""
    points: NDArray[np.float32]
    """[68, 2] pixels"""


def with_depth(points: NDArray[np.float32]) -> NDArray[np.float64]:
    """[68, 2] pixels to [68, 3], the third coordinate growing away from the camera."""
    low, high = points.min(0), points.max(0)
    centre, size = (low + high) / 2, float((high - low).max())
    radius = np.linalg.norm((points - centre) / (0.62 * size), axis=1)
    depth = -HEAD_DEPTH * size * np.sqrt(np.clip(1 - radius**2, 0, None))
    depth[NOSE_TIP] -= NOSE_DEPTH * size
    return np.column_stack([points, depth]).astype(np.float64)


def views_of(given: View, count: int, rng: np.random.Generator) -> list[View]:
    """`count` views, the first being the given picture itself."""
    lifted = with_depth(given.points)
    still, poses = MovingStill(given.picture, lifted), scattered_poses(rng, count)
    found = [given]
    for index in range(1, count):
        points = still.posed(lifted, poses, index)[:, :2].astype(np.float32)
        found.append(View(still.picture(poses, index), points))
    return found
