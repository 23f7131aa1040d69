"""The weights that ship: verified, small, drawn alike by every runtime, and a face that follows sound and style."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from talkface_core.face.model import TalkfaceModel, load_face_model
from talkface_core.shipped_weights import shipped_weights_folder
from talkface_core.sound.mel import WINDOW_SAMPLES
from talkface_core.style.track import StyleTrack
from talkface_core.tracking.face_finder import FaceFinder
from talkface_core.weights import STYLE_TRACK_NAME

MAX_SHIPPED_BYTES = 40_000_000
AGREEMENT_DB = 45.0


@pytest.fixture(scope="module")
def model() -> TalkfaceModel:
    return load_face_model("default")


@pytest.fixture(scope="module")
def track() -> StyleTrack:
    return StyleTrack.load(shipped_weights_folder() / STYLE_TRACK_NAME)


def voiced(seed: int) -> NDArray[np.float32]:
    """Half a second of a buzz with formants: loud, harmonic, speech-like enough to open a mouth."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(WINDOW_SAMPLES) / 16_000
    tones = [np.sin(2 * np.pi * 120 * k * time_s + rng.uniform(0, 6)) / k for k in range(1, 30)]
    return (0.2 * np.sum(tones, axis=0)).clip(-1, 1).astype(np.float32)


def psnr_db(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(10 * np.log10(255**2 / np.square(a.astype(float) - b.astype(float)).mean().clip(1e-9)))


def test_they_are_small_enough_to_ship() -> None:
    assert sum(p.stat().st_size for p in shipped_weights_folder().iterdir()) <= MAX_SHIPPED_BYTES


def test_the_style_track_is_long_and_moves(track: StyleTrack) -> None:
    assert len(track.values) >= 10 * 25
    assert np.abs(np.diff(track.values, axis=0)).max() > 0.5


def test_runtimes_agree(model: TalkfaceModel, track: StyleTrack) -> None:
    identity = model.default_identity()
    reference = model.renderer(identity, runtime="torch-cpu")
    fast = model.renderer(identity, runtime="openvino")
    for i, style in enumerate((None, track.values[0], track.values[40])):
        assert psnr_db(reference.render(voiced(i), style), fast.render(voiced(i), style)) >= AGREEMENT_DB


def test_it_draws_a_face(model: TalkfaceModel, track: StyleTrack) -> None:
    renderer = model.renderer(model.default_identity())
    frame = renderer.render(np.zeros(WINDOW_SAMPLES, np.float32), track.values[0])
    assert frame.shape == (model.info.resolution_px, model.info.resolution_px, 3)
    assert len(FaceFinder().find(frame)) == 1


def test_sound_moves_the_mouth_more_than_the_rest(model: TalkfaceModel) -> None:
    renderer = model.renderer(model.default_identity())
    silent = renderer.render(np.zeros(WINDOW_SAMPLES, np.float32), None).astype(float)
    loud = renderer.render(voiced(0), None).astype(float)
    change = np.abs(loud - silent).mean(axis=2)
    side = change.shape[0]
    mouth = change[int(0.62 * side) : int(0.86 * side), int(0.38 * side) : int(0.68 * side)]
    forehead_and_wall = change[: side // 4]
    assert mouth.mean() > 1.5 * forehead_and_wall.mean()


def test_style_moves_the_face(model: TalkfaceModel, track: StyleTrack) -> None:
    renderer = model.renderer(model.default_identity())
    silence = np.zeros(WINDOW_SAMPLES, np.float32)
    poses = track.values[:: max(1, len(track.values) // 12)]
    frames = [renderer.render(silence, values).astype(float) for values in poses]
    assert max(np.abs(f - frames[0]).mean() for f in frames[1:]) > 1.0
