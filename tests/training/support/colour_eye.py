"""A face tracker for drawn heads: finds skin-coloured ellipses, so that preparing is tested without trained weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.prepare.face_eye import SeenFace


class ColourEye:
    """Points are laid out within the skin's box; the lips follow the dark mouth."""

    SKIN = np.array([200, 160, 140])

    def start(self) -> None:
        self._was_there = False

    def look(self, frame: NDArray[np.uint8]) -> SeenFace | None:
        skin = np.abs(frame.astype(int) - self.SKIN).max(-1) < 40
        if skin.sum() < 200:
            self._was_there = False
            return None
        ys, xs = np.nonzero(skin)
        left, right, top, bottom = xs.min(), xs.max(), ys.min(), ys.max()
        width, height = right - left, bottom - top
        points = np.zeros((68, 2), np.float32)
        points[:] = [(left + right) / 2, top + 0.55 * height]
        points[0], points[16], points[8] = (
            [left, top + 0.4 * height],
            [right, top + 0.4 * height],
            [points[8, 0], bottom],
        )
        points[17:27, 1] = top + 0.2 * height
        points[36], points[45] = [left + 0.25 * width, top + 0.35 * height], [left + 0.75 * width, top + 0.35 * height]
        mouth = np.abs(frame.astype(int) - [120, 20, 30]).max(-1) < 45
        my = np.nonzero(mouth)[0] if mouth.any() else np.array([top + 0.75 * height])
        points[48:, 1] = (my.min() + my.max()) / 2
        points[61:64, 1], points[65:68, 1] = my.min(), my.max()
        new = not self._was_there
        self._was_there = True
        return SeenFace(points, new)

    def confirms_offset(self, points: NDArray[np.float32], samples: NDArray[np.int16], frames: int) -> bool:
        return True  # the lip expert knows real lips only

    def count(self, frame: NDArray[np.uint8]) -> int:
        skin = (np.abs(frame.astype(int) - self.SKIN).max(-1) < 40).any(0)
        return int((np.diff(np.concatenate([[0], skin.astype(int), [0]])) == 1).sum())
