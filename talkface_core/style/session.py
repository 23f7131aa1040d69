"""Camera frames to style values: follow the face, crop it, run E_style with its state (paper III.E).

The crop is the running mean of where the face was, later a slow average: the head moves within it and that motion
reaches the style; a crop that followed at once would take it away. The mean comes near the median over a clip that
training cuts with, which the first frame alone may be far from. A frame without a face gives None and leaves the state
as it was.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from talkface_core.face.networks import FaceNetworks
from talkface_core.style.input import SquareCrop, face_crop
from talkface_core.style.path import StylePathState, encode_style
from talkface_core.tracking.alignment import CropSquare, cut_tensor, pixels_to_tensor
from talkface_core.tracking.face_finder import FaceBox, check_picture
from talkface_core.tracking.tracker import TrackedFace

FOLLOW_RATE = 0.005
"""Share of the way to the present face that the crop moves per frame, once as many frames are averaged: 8 s at 25
frames/s."""
MAX_OFFSET = 0.35
"""In crop sides: a face further off than this has moved its chair, and the crop follows at once."""
MAX_SIDE_RATIO = 1.6
"""Likewise for a face that came nearer or went away."""


class FaceFollower(Protocol):
    """Follows one face from frame to frame; `talkface_core.tracking.tracker.FaceTracker` in a call."""

    def update(self, frame: NDArray[np.uint8]) -> TrackedFace | None:
        """[H, W, 3] uint8 RGB -> the face, or None when none is seen."""
        ...


class StyleEncoderSession:
    """`StyleSession` of a call: one person, consecutive frames.

    The crop is cut at the side that the model draws, as training's clips are: it decides how sharp E_style sees.

    Args:
        networks: in eval mode.
        follower: finds the face; its own state belongs to this session.
        crop: pictures are cut already as training's are, by this square of them, which never moves; None: the face
            is looked for and followed.
    """

    def __init__(self, networks: FaceNetworks, follower: FaceFollower, *, crop: SquareCrop | None = None) -> None:
        self._networks = networks
        self._follower = follower
        self._is_fixed = crop is not None
        self._crop = crop
        self._averaged = 0
        self._state: StylePathState | None = None

    @property
    def crop(self) -> SquareCrop | None:
        """The present crop in pixels of the frame; None before the first face."""
        return self._crop

    @torch.inference_mode()
    def encode_frame(self, frame: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        """[H, W, 3] uint8 RGB -> [V] values in sigma units, or None when no face is in the frame.

        Raises:
            ValueError: not such a picture.
        """
        check_picture(frame)
        face = self._follower.update(frame)
        if face is None:
            return None
        if not self._is_fixed:
            self._follow(face_crop(face.points))
        assert self._crop is not None
        networks, square = self._networks, CropSquare.upright(*self._crop)
        side = networks.config.resolution_px
        picture = cut_tensor(pixels_to_tensor(frame), square, side) / 127.5 - 1
        points = torch.from_numpy(square.to_crop(face.points, side)).float()
        values, self._state = encode_style(
            networks.style_encoder, networks.style_settings, picture[None], points[None, None], self._state
        )
        style: NDArray[np.float32] = (values[0, 0] / networks.style_scale).numpy()
        return style

    def _follow(self, target: SquareCrop) -> None:
        if self._crop is None or is_jump(self._crop, target):
            self._crop, self._averaged = target, 1
            return
        self._averaged += 1
        rate = max(FOLLOW_RATE, 1 / self._averaged)
        self._crop = SquareCrop(*(old + rate * (new - old) for old, new in zip(self._crop, target, strict=True)))


def is_jump(crop: SquareCrop, target: SquareCrop) -> bool:
    """Whether a face has moved its chair, so that the crop starts anew."""
    offset = max(abs(target.centre_x - crop.centre_x), abs(target.centre_y - crop.centre_y))
    ratio = target.side / crop.side
    return offset > MAX_OFFSET * crop.side or not 1 / MAX_SIDE_RATIO < ratio < MAX_SIDE_RATIO


class CentredFace:
    """A follower that does not look: the face is where a portrait camera has it. It goes with networks of random
    weights, whose style means nothing either."""

    def update(self, frame: NDArray[np.uint8]) -> TrackedFace | None:
        height, width = frame.shape[:2]
        side = min(height, width)
        points = (portrait_points() * side + [(width - side) / 2, (height - side) / 2]).astype(np.float32)
        low, high = points.min(0), points.max(0)
        width, height = (high - low).tolist()
        box = FaceBox(float(low[0]), float(low[1]), width, height, score=1.0)
        return TrackedFace(points, points, box, is_new=False)


def portrait_points() -> NDArray[np.float64]:
    """[68, 2] a plain frontal face in a unit square."""
    angle = np.linspace(0, np.pi, 17)
    points = np.zeros((68, 2))
    points[:17] = np.stack([0.5 - 0.25 * np.cos(angle), 0.5 + 0.36 * np.sin(angle)], 1)  # jaw
    points[17:27] = np.stack([np.linspace(0.3, 0.7, 10), np.full(10, 0.35)], 1)  # brows
    points[27:31] = np.stack([np.full(4, 0.5), np.linspace(0.42, 0.55, 4)], 1)  # nose
    points[31:36] = np.stack([np.linspace(0.46, 0.54, 5), np.full(5, 0.6)], 1)
    eye = np.array([[-0.06, 0], [-0.02, -0.015], [0.02, -0.015], [0.06, 0], [0.02, 0.015], [-0.02, 0.015]])
    points[36:42], points[42:48] = np.add(eye, [0.39, 0.43]), np.add(eye, [0.61, 0.43])
    lips = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    points[48:60] = np.stack([0.5 - 0.08 * np.cos(lips), 0.72 - 0.03 * np.sin(lips)], 1)
    lips = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    points[60:68] = np.stack([0.5 - 0.06 * np.cos(lips), 0.72 - 0.01 * np.sin(lips)], 1)
    return points
