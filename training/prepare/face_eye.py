"""What preparing sees in a picture: the face, how many there are, and whether lips and sound belong together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from talkface_core.tracking.tracker import FaceTracker
from training.lip_expert.data import MIN_FRAMES, speech_clip
from training.lip_expert.gate import clip_offsets
from training.lip_expert.network import LipExpert, load_lip_expert

OFFSET_AGREEMENT_FRAMES = 2
"""The lip expert confirms an offset that it finds itself within so many frames."""


@dataclass(frozen=True, slots=True)
class SeenFace:
    """The face in one tick."""

    points: NDArray[np.float32]
    """[68, 2] pixels of the picture."""
    is_new: bool
    """Found anew in this tick: not the same face as before, or it was away."""


class FaceEye(Protocol):
    """What preparing needs of landmark tracking."""

    def start(self) -> None:
        """A new file."""
        ...

    def look(self, frame: NDArray[np.uint8]) -> SeenFace | None:
        """The face in the next picture."""
        ...

    def count(self, frame: NDArray[np.uint8]) -> int:
        """How many faces of comparable size a picture shows."""
        ...

    def confirms_offset(self, points: NDArray[np.float32], samples: NDArray[np.int16], frames: int) -> bool:
        """Whether the sound, by a second opinion, is so many frames late."""
        ...


class TrackingEye:
    """Our own face finder, landmark network and lip expert."""

    def __init__(self, tracker: FaceTracker | None = None) -> None:
        self._tracker = tracker or FaceTracker()
        self._lips: LipExpert | None = None

    def start(self) -> None:
        self._tracker.reset()

    def look(self, frame: NDArray[np.uint8]) -> SeenFace | None:
        face = self._tracker.update(frame)
        return None if face is None else SeenFace(face.points, face.is_new)

    def count(self, frame: NDArray[np.uint8]) -> int:
        # Only faces that the landmark network confirms: the finder's false alarms are no second face.
        sides = [box.side for box in self._tracker.all_faces(frame)]
        # A small face in the background does not disturb; another of half the size or more does.
        return sum(side >= 0.5 * max(sides) for side in sides)

    def confirms_offset(self, points: NDArray[np.float32], samples: NDArray[np.int16], frames: int) -> bool:
        if len(points) < MIN_FRAMES:
            return False
        self._lips = self._lips or load_lip_expert()
        offsets = clip_offsets(self._lips, speech_clip("", points, samples))
        return abs(float(np.median(offsets)) - frames) <= OFFSET_AGREEMENT_FRAMES
