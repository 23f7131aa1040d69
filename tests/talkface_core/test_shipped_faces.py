"""The shipped landmark and finder weights on real pictures: people they never saw, and pictures without people."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from talkface_core.tracking.alignment import CropSquare, cut
from talkface_core.tracking.face_finder import FaceFinder
from talkface_core.tracking.landmark_runtime import LandmarkRunner
from talkface_core.tracking.landmarks import INNER_LIPS, MOUTH, OUTER_EYE_CORNERS, load_landmark_net
from talkface_core.tracking.tracker import FaceTracker, TrackState

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared"
STRANGERS = ("LivePortrait__d10.mp4", "SadTalker__WDA_AlexandriaOcasioCortez_000.mp4", "V-Express__vasa-1_13_gt.mp4")

needs_data = pytest.mark.skipif(not (SHARED / "data" / "people").is_dir(), reason="no shared data beside the checkout")


def frames_of(name: str, count: int) -> list[NDArray[np.uint8]]:
    """The first frames of a clip of the shared data, RGB."""
    frames = []
    with av.open(str(SHARED / "data" / name)) as container:
        for frame in container.decode(video=0):
            frames.append(frame.to_ndarray(format="rgb24"))
            if len(frames) == count:
                break
    return frames


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder()


@pytest.fixture(scope="module")
def runner() -> LandmarkRunner:
    return LandmarkRunner(load_landmark_net())


def test_pictures_without_a_face_have_none(finder: FaceFinder, runner: LandmarkRunner) -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:240, 0:320]
    pictures = [
        np.full((240, 320, 3), 128, dtype=np.uint8),
        rng.integers(0, 256, (240, 320, 3), dtype=np.uint8),
        np.repeat(((x + y) % 64 * 4).astype(np.uint8)[..., None], 3, axis=2),
        np.stack([x * 0.8, y, 255 - y], axis=2).astype(np.uint8),
    ]
    for picture in pictures:
        tracker = FaceTracker(finder, runner)
        assert tracker.update(picture) is None
        assert tracker.state is TrackState.SEARCHING


@pytest.mark.shared
@needs_data
@pytest.mark.parametrize("name", STRANGERS)
def test_a_stranger_is_found_and_followed(name: str, finder: FaceFinder, runner: LandmarkRunner) -> None:
    frames = frames_of(f"people/{name}", 12)
    tracker = FaceTracker(finder, runner)
    faces = tracker.track(frames)
    assert all(face is not None for face in faces)
    assert sum(face.is_new for face in faces if face) == 1
    for face in faces:
        assert face is not None
        eyes = np.linalg.norm(face.points[OUTER_EYE_CORNERS[0]] - face.points[OUTER_EYE_CORNERS[1]])
        mouth, nose = face.points[list(MOUTH)].mean(axis=0), face.points[30]
        assert 0.1 * eyes < mouth[1] - nose[1] < eyes  # an upright face


@pytest.mark.shared
@needs_data
def test_points_of_strangers_agree_with_the_teacher(finder: FaceFinder, runner: LandmarkRunner) -> None:
    """Normalised mean error below 5 % of the outer-eye distance over the whole face, 4 % for the mouth."""
    pytest.importorskip("mediapipe", reason="the teacher is not installed")
    bundle = SHARED / "models" / "face_landmarker.task"
    if not bundle.is_file():
        pytest.skip("no teacher bundle beside the checkout")
    from training.landmarks.evaluate import point_errors
    from training.landmarks.teacher import Teacher

    errors = []
    with Teacher(bundle) as teacher:
        for name in STRANGERS:
            picture = frames_of(f"people/{name}", 1)[0]
            face = FaceTracker(finder, runner).update(picture)
            assert face is not None
            errors.append(point_errors(face.raw_points, teacher.find(picture)[0].points))
    mean = np.stack(errors).mean(axis=0)
    assert mean.mean() < 0.05
    assert mean[list(MOUTH)].mean() < 0.04


@pytest.mark.shared
@needs_data
def test_lips_open_when_the_speaker_speaks(finder: FaceFinder, runner: LandmarkRunner) -> None:
    """On a GRID clip the inner lips open and close by far more than the points tremble."""
    faces = FaceTracker(finder, runner).track(frames_of("grid_s1/bbas1s.mp4", 75))
    points = np.stack([face.points for face in faces if face])
    assert len(points) == 75
    inner = points[:, list(INNER_LIPS)]
    opening = np.linalg.norm(inner[:, 2] - inner[:, 6], axis=1)
    eyes = np.linalg.norm(points[:, 36] - points[:, 45], axis=1).mean()
    assert np.ptp(opening) > 0.08 * eyes
    assert np.abs(np.diff(points[:, 27], axis=0)).mean() < 0.01 * eyes


@pytest.mark.shared
@needs_data
@pytest.mark.parametrize("scale", [0.25, 1.0])
def test_faces_of_several_sizes_are_found(scale: float, finder: FaceFinder) -> None:
    """The whole picture and the same picture small in the corner of a large grey one."""
    frame = frames_of("people/EDTalk__pose_source2.mp4", 1)[0]
    height, width = frame.shape[:2]
    large = np.full((round(height / scale), round(width / scale), 3), 110, dtype=np.uint8)
    large[:height, :width] = frame
    boxes = finder.find(large)
    assert boxes
    assert 0 < boxes[0].centre[0] < width
    assert 0 < boxes[0].centre[1] < height


@pytest.mark.shared
@needs_data
def test_a_badly_framed_face_scores_low(runner: LandmarkRunner, finder: FaceFinder) -> None:
    """A crop that shows one eye, or a face lost in the distance, is not "a face" to the score head."""
    import torch

    frame = frames_of("people/LivePortrait__d10.mp4", 1)[0]
    box = finder.find(frame)[0]

    def score(square: CropSquare) -> float:
        crop = torch.from_numpy(cut(frame, square, 128)).permute(2, 0, 1)[None].float() / 127.5 - 1
        return float(runner(crop)[1][2])

    x, y = box.centre
    assert score(CropSquare.upright(x, y, 1.7 * box.side)) > 0.8
    assert score(CropSquare.upright(x - box.side, y, 1.2 * box.side)) < 0.5
    assert score(CropSquare.upright(x, y, 0.5 * box.side)) < 0.5
