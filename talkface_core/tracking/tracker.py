"""Following one face through a video: found once, followed by its own landmarks, smoothed causally, lost in the open.

Each frame the landmark network looks where the face was. When its score says that no well framed face is there, the
finder searches the whole picture; when that fails too, the frame has no face, and says so. Points are smoothed by a
one-euro filter (Casiez et al., CHI 2012): still points stop trembling, fast lips are not delayed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from talkface_core.tracking.alignment import box_square, cut_tensor, pixels_to_tensor
from talkface_core.tracking.face_finder import FaceBox, FaceFinder, check_picture, keep_separate
from talkface_core.tracking.landmark_runtime import LandmarkRunner
from talkface_core.tracking.landmarks import CROP_PX, Framing, load_landmark_net

MIN_FOLLOW_SCORE = 0.35
"""A face once accepted is followed down to this score: hysteresis against flicker."""
MIN_ACCEPT_SCORE = 0.6
"""A new face needs this score."""
MIN_CANDIDATE_SCORE = 0.25
"""Finder's score from which a place is worth a look: the landmark network has the last word, so that little is missed
and no false alarm follows."""
MAX_CANDIDATES = 4
SEARCH_INTERVAL_FRAMES = 3
"""While no face is there the finder runs every so many frames: it costs several times what following does."""
SPEED_CUTOFF_HZ = 4.0
"""Cutoff of the one-euro filter's own estimate of speed."""


class TrackState(Enum):
    SEARCHING = "searching"
    """No face in the last frame."""
    FOLLOWING = "following"
    """A face in the last frame."""


@dataclass(frozen=True, slots=True)
class TrackedFace:
    """The face in one frame."""

    points: NDArray[np.float32]
    """[68, 2] smoothed, in pixels of the picture."""
    raw_points: NDArray[np.float32]
    """[68, 2] as the network said."""
    box: FaceBox
    """Box of the raw points, with the landmark network's score."""
    is_new: bool
    """The face was found in this frame, not followed from the last one: smoothing started afresh."""


class OneEuroFilter:
    """A low-pass whose cutoff rises with speed; vectors of any shape, one sample per call.

    Args:
        frame_rate: samples per second.
        min_cutoff_hz: cutoff of what stands still.
        speed_gain: cutoff added per unit of speed (unit of the values per second).
    """

    def __init__(self, frame_rate: float, *, min_cutoff_hz: float, speed_gain: float) -> None:
        if frame_rate <= 0:
            raise ValueError(f"frame_rate must be positive, got {frame_rate}")
        self._frame_rate = frame_rate
        self._min_cutoff_hz = min_cutoff_hz
        self._speed_gain = speed_gain
        self._value: NDArray[np.float64] | None = None
        self._speed: NDArray[np.float64] | None = None

    def reset(self) -> None:
        self._value = self._speed = None

    def update(self, value: NDArray[np.floating]) -> NDArray[np.float64]:
        """The next value, smoothed."""
        new: NDArray[np.float64] = np.array(value, dtype=np.float64)
        if self._value is None or self._speed is None:
            self._value, self._speed = new, np.zeros_like(new)
            return new
        speed = (new - self._value) * self._frame_rate
        self._speed = self._speed + self._weight(np.full_like(new, SPEED_CUTOFF_HZ)) * (speed - self._speed)
        cutoff = self._min_cutoff_hz + self._speed_gain * np.abs(self._speed)
        self._value = self._value + self._weight(cutoff) * (new - self._value)
        return self._value

    def _weight(self, cutoff_hz: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weight of the new sample in an exponential low-pass."""
        ratio = 2 * math.pi * cutoff_hz / self._frame_rate
        return ratio / (ratio + 1)


class FaceTracker:
    """Follows the best face of a video.

    Args:
        finder: finds faces in whole pictures; the shipped one when None.
        runner: runs the landmark network; the shipped one when None.
        frame_rate: frames per second of the video.

    Raises:
        talkface_core.errors.WeightsError: shipped weights are missing or damaged.
    """

    def __init__(
        self, finder: FaceFinder | None = None, runner: LandmarkRunner | None = None, *, frame_rate: float = 25.0
    ) -> None:
        self._finder = finder or FaceFinder()
        self._runner = runner or LandmarkRunner(load_landmark_net())
        # Units of face sizes: lips move at up to about 1 per second, a trembling point at 0.02.
        self._filter = OneEuroFilter(frame_rate, min_cutoff_hz=2.0, speed_gain=30.0)
        self._box: FaceBox | None = None
        self._unit = 1.0
        self._frames_without = 0
        self.num_lost = 0
        """How often a followed face was lost."""

    @property
    def state(self) -> TrackState:
        return TrackState.SEARCHING if self._box is None else TrackState.FOLLOWING

    def reset(self) -> None:
        """Forget the face: a cut in the video, or another video."""
        self._box, self._frames_without = None, 0
        self._filter.reset()

    def update(self, frame: NDArray[np.uint8]) -> TrackedFace | None:
        """The face in the next frame, or None when there is none.

        Args:
            frame: [H, W, 3] uint8 RGB, contiguous or not; the size may change between frames.

        Raises:
            ValueError: not such a picture.
        """
        check_picture(frame)
        followed = self._box
        found = None
        if followed is not None:
            found = self._measure(frame, followed, MIN_FOLLOW_SCORE)
            if found is not None and not _is_same_face(found[1], followed):
                found = None
        if found is not None:
            return self._accept(*found, is_new=False)
        if followed is None and self._frames_without % SEARCH_INTERVAL_FRAMES:
            self._frames_without += 1
            return None
        found = self._search(frame)
        if found is not None:
            is_jump = followed is None or not _is_same_face(found[1], followed)
            return self._accept(*found, is_new=is_jump)
        self.num_lost += followed is not None
        self.reset()
        self._frames_without = 1
        return None

    def track(self, frames: Iterable[NDArray[np.uint8]]) -> list[TrackedFace | None]:
        """A whole clip from fresh state: one entry per frame."""
        self.reset()
        return [self.update(frame) for frame in frames]

    def all_faces(self, frame: NDArray[np.uint8]) -> list[FaceBox]:
        """Every face in a picture that the landmark network confirms, best first; the followed face is not touched."""
        measured = [self._measure(frame, box, MIN_ACCEPT_SCORE) for box in self._finder.find(frame)]
        return keep_separate([found[1] for found in measured if found is not None])

    def _search(self, frame: NDArray[np.uint8]) -> tuple[NDArray[np.float32], FaceBox] | None:
        """Find a face anew: the largest sure one, or the one nearest to where it was lost."""
        boxes = self._finder.find(frame, min_score=MIN_CANDIDATE_SCORE)
        last = self._box
        if last is not None:
            boxes.sort(key=lambda b: math.dist(b.centre, last.centre) / last.side)
        else:
            boxes.sort(key=lambda b: -math.sqrt(b.side) * b.score)
        for box in boxes[:MAX_CANDIDATES]:
            # The finder's box is rough: look twice, the second time where the points say.
            first = self._measure(frame, box, MIN_FOLLOW_SCORE)
            second = self._measure(frame, first[1], MIN_ACCEPT_SCORE) if first else None
            if second is not None:
                return second
        return None

    def _measure(
        self, frame: NDArray[np.uint8], box: FaceBox, min_score: float
    ) -> tuple[NDArray[np.float32], FaceBox] | None:
        """Points [68, 2] in pixels and their box from a crop around `box`; None below `min_score`."""
        square = box_square(box.centre, box.side)
        crop = cut_tensor(pixels_to_tensor(frame), square, CROP_PX) / 127.5 - 1
        unit_points, framing = self._runner(crop)
        score = float(framing[Framing.FACE])
        if score < min_score:
            return None
        points = square.to_picture((unit_points + 1) * (CROP_PX / 2), CROP_PX).astype(np.float32)
        low, high = points.min(axis=0), points.max(axis=0)
        size = np.maximum(high - low, 1.0)
        return points, FaceBox(float(low[0]), float(low[1]), float(size[0]), float(size[1]), score)

    def _accept(self, points: NDArray[np.float32], box: FaceBox, *, is_new: bool) -> TrackedFace:
        if is_new:
            self._filter.reset()
            self._unit = box.side
        self._box, self._frames_without = box, 0
        # The unit stays that of the first frame, so that the filter's state needs no rescaling.
        smooth = self._filter.update(points / self._unit) * self._unit
        return TrackedFace(smooth.astype(np.float32), points, box, is_new)


def _is_same_face(box: FaceBox, last: FaceBox) -> bool:
    """Whether a face can have moved and grown so within one frame."""
    ratio = box.side / last.side
    return 0.6 < ratio < 1.6 and math.dist(box.centre, last.centre) < 0.6 * last.side
