"""A face follower that reads points which are known already."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from talkface_core.tracking.face_finder import FaceBox
from talkface_core.tracking.tracker import TrackedFace


class StoredPoints:
    """Gives one [68, 2] of pixels per frame, in order."""

    def __init__(self, points: Iterable[NDArray[np.float32]]) -> None:
        self._points = iter(points)

    def update(self, frame: NDArray[np.uint8]) -> TrackedFace | None:
        """The next points, whatever the frame shows."""
        points = next(self._points)
        low, high = points.min(0), points.max(0)
        width, height = (high - low).tolist()
        return TrackedFace(points, points, FaceBox(float(low[0]), float(low[1]), width, height, 1.0), is_new=False)
