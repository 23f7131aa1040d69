"""Following a face: found, followed, lost, found again, smoothed; with made-up finder and network answers."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor

from talkface_core.tracking.face_finder import FaceBox, FaceFinder
from talkface_core.tracking.landmark_runtime import LandmarkRunner
from talkface_core.tracking.tracker import FaceTracker, OneEuroFilter, TrackState

SIZE = 40.0
"""Side of the scene's "face": a bright square."""


def scene(x: float | None, y: float = 120.0) -> NDArray[np.uint8]:
    """A dark picture with a bright square around (x, y), or without one."""
    frame = np.zeros((240, 320, 3), dtype=np.uint8)
    if x is not None:
        frame[int(y - SIZE / 2) : int(y + SIZE / 2), int(x - SIZE / 2) : int(x + SIZE / 2)] = 255
    return frame


class SquareFinder(FaceFinder):
    """Finds the bright square, and counts how often it was asked."""

    def __init__(self) -> None:
        self.num_calls = 0

    def find(self, frame: NDArray[np.uint8], *, max_faces: int = 8, min_score: float | None = None) -> list[FaceBox]:
        self.num_calls += 1
        rows, columns = np.nonzero(frame[..., 0])
        if not len(rows):
            return []
        x, y = float(columns.min()), float(rows.min())
        return [FaceBox(x, y, float(columns.max()) + 1 - x, float(rows.max()) + 1 - y, 0.9)]


class SquareRunner(LandmarkRunner):
    """Sees the bright square in the crop: points on its border, sure when it is whole."""

    def __init__(self, noise: float = 0.0) -> None:
        self.runtime = "fake"
        self._rng = np.random.default_rng(0)
        self._noise = noise

    def __call__(self, crop: Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        bright = (crop[0].mean(dim=0) > 0).numpy()
        rows, columns = np.nonzero(bright)
        if len(rows) < 50:
            return np.zeros((68, 2), dtype=np.float32), np.array([1, 0, 0], dtype=np.float32)
        low = np.array([columns.min(), rows.min()]) / 64 - 1
        high = np.array([columns.max() + 1, rows.max() + 1]) / 64 - 1
        share = np.linspace(0, 1, 68)[:, None]
        points = low + (high - low) * share + self._rng.normal(0, self._noise, (68, 2))
        return points.astype(np.float32), np.array([0, 0, 1], dtype=np.float32)


def tracker(noise: float = 0.0) -> tuple[FaceTracker, SquareFinder]:
    finder = SquareFinder()
    return FaceTracker(finder, SquareRunner(noise)), finder


def test_found_once_then_followed_without_the_finder() -> None:
    track, finder = tracker()
    faces = track.track(scene(100 + 3 * t) for t in range(20))
    assert all(face is not None for face in faces)
    assert [face.is_new for face in faces if face] == [True] + [False] * 19
    assert finder.num_calls == 1
    last = faces[-1]
    assert last is not None
    assert last.box.centre == pytest.approx((157, 120), abs=1.5)
    assert track.state is TrackState.FOLLOWING


def test_no_face_is_none_and_searched_now_and_then() -> None:
    track, finder = tracker()
    assert track.track([scene(None)] * 9) == [None] * 9
    assert track.state is TrackState.SEARCHING
    assert finder.num_calls == 3
    assert track.num_lost == 0


def test_lost_and_found_again() -> None:
    track, _ = tracker()
    frames = [scene(100)] * 5 + [scene(None)] * 7 + [scene(220)] * 6
    faces = track.track(frames)
    assert all(face is not None for face in faces[:5])
    assert faces[5:12] == [None] * 7
    again = next(i for i, face in enumerate(faces) if i >= 12 and face)
    assert again <= 14
    found = faces[again]
    assert found is not None
    assert found.is_new
    assert found.box.centre[0] == pytest.approx(220, abs=2)
    assert track.num_lost == 1


def test_a_jump_is_found_in_the_same_frame_and_starts_smoothing_afresh() -> None:
    track, _ = tracker()
    faces = track.track([scene(80)] * 3 + [scene(250)])
    jumped = faces[-1]
    assert jumped is not None
    assert jumped.is_new
    np.testing.assert_allclose(jumped.points, jumped.raw_points, atol=1e-3)
    assert track.num_lost == 0


def test_standing_points_tremble_less_and_moving_ones_keep_up() -> None:
    track, _ = tracker(noise=0.004)
    still = [f for f in track.track([scene(150)] * 60) if f][20:]
    raw = np.stack([f.raw_points for f in still]).std(axis=0).mean()
    smooth = np.stack([f.points for f in still]).std(axis=0).mean()
    assert smooth < 0.7 * raw
    moving = [f for f in track.track(scene(80 + 5 * t) for t in range(25)) if f]
    lag = np.abs(moving[-1].points - moving[-1].raw_points).mean()
    assert lag < 0.1 * SIZE


def test_tracking_is_causal() -> None:
    frames = [scene(100 + 2 * t) for t in range(10)]
    whole, part = tracker()[0].track(frames), tracker()[0].track(frames[:6])
    for a, b in zip(whole[:6], part, strict=True):
        assert a is not None
        assert b is not None
        np.testing.assert_array_equal(a.points, b.points)


def test_picture_size_may_change() -> None:
    track, _ = tracker()
    assert track.update(scene(100)) is not None
    half = np.ascontiguousarray(scene(100)[::2, ::2])
    assert track.update(half) is not None


def test_other_arrays_are_refused() -> None:
    with pytest.raises(ValueError, match="a picture must be"):
        tracker()[0].update(np.zeros((10, 10), dtype=np.uint8))


def test_one_euro_passes_the_first_value_and_constant_input() -> None:
    smooth = OneEuroFilter(25.0, min_cutoff_hz=1.0, speed_gain=0.0)
    value = np.array([3.0, -2.0])
    for _ in range(4):
        np.testing.assert_allclose(smooth.update(value), value)


def test_one_euro_step_response_matches_the_first_order_filter() -> None:
    """With no speed gain it is an exponential low-pass with the stated cutoff."""
    smooth = OneEuroFilter(100.0, min_cutoff_hz=5.0, speed_gain=0.0)
    smooth.update(np.zeros(1))
    weight = (2 * np.pi * 5 / 100) / (2 * np.pi * 5 / 100 + 1)
    expected = 0.0
    for _ in range(10):
        expected += weight * (1 - expected)
        assert smooth.update(np.ones(1))[0] == pytest.approx(expected)


def test_one_euro_refuses_a_rate_of_zero() -> None:
    with pytest.raises(ValueError, match="frame_rate"):
        OneEuroFilter(0.0, min_cutoff_hz=1, speed_gain=1)


def test_all_faces_are_measured_without_touching_the_followed_one() -> None:
    track, _ = tracker()
    track.update(scene(100))
    (box,) = track.all_faces(scene(220))
    assert box.centre == pytest.approx((220, 120), abs=1.5)
    assert track.all_faces(scene(None)) == []
    followed = track.update(scene(102))
    assert followed is not None
    assert not followed.is_new
