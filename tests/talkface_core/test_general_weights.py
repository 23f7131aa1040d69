"""The start for any face that ships: a picture becomes a face, and another picture becomes another one."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from talkface_core.face.model import TalkfaceModel, load_face_model
from talkface_core.shipped_weights import shipped_weights_folder
from talkface_core.sound.mel import WINDOW_SAMPLES
from talkface_core.tracking.face_finder import FaceFinder

MAX_SHIPPED_BYTES = 40_000_000
SILENCE = np.zeros(WINDOW_SAMPLES, np.float32)


@pytest.fixture(scope="module")
def general() -> TalkfaceModel:
    return load_face_model("general")


@pytest.fixture(scope="module")
def portrait() -> NDArray[np.uint8]:
    """The default face as our own weights draw it."""
    default = load_face_model("default")
    return default.renderer(default.default_identity()).render(SILENCE, None)


def test_it_is_small_enough_to_ship() -> None:
    assert sum(p.stat().st_size for p in shipped_weights_folder("general").iterdir()) <= MAX_SHIPPED_BYTES


def test_a_picture_becomes_its_face(general: TalkfaceModel, portrait: NDArray[np.uint8]) -> None:
    drawn = general.renderer(general.encode_portrait(portrait)).render(SILENCE, None)
    assert len(FaceFinder().find(drawn)) == 1
    assert np.corrcoef(drawn.ravel(), portrait.ravel())[0, 1] > 0.9


def test_another_picture_becomes_another_face(general: TalkfaceModel, portrait: NDArray[np.uint8]) -> None:
    # A face in evening light before a red wall: what is dark and red in the picture is so in the drawing.
    dusk = (portrait * np.array([0.6, 0.4, 0.25])).astype(np.uint8)
    day, evening = (
        general.renderer(general.encode_portrait(picture)).render(SILENCE, None).astype(float).mean((0, 1))
        for picture in (portrait, dusk)
    )
    assert evening.sum() < 0.8 * day.sum()
    assert evening[0] / evening[2] > 1.5 * day[0] / day[2]
