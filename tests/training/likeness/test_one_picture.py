"""Views of one picture and the way from a picture to a tuned model."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from talkface_core.errors import WeightsError
from talkface_core.face.image_encoder import ImageEncoder
from talkface_core.face.model import TINY_CONFIG, TalkfaceModel, tiny_face_model
from talkface_core.sound.mel import WINDOW_SAMPLES
from talkface_core.style.session import portrait_points
from training.likeness.one_picture import likeness_of_picture, speech_windows, tuned_model
from training.likeness.tuning import TuningConfig
from training.likeness.views import View, views_of, with_depth

SIDE = TINY_CONFIG.resolution_px


def given() -> View:
    y, x = np.mgrid[:SIDE, :SIDE]
    picture = np.stack([x * 255 / SIDE, y * 255 / SIDE, 128 + 100 * np.sin(x / 4)], axis=-1).astype(np.uint8)
    return View(picture, (portrait_points() * SIDE).astype(np.float32))


def speech() -> np.ndarray:
    rng = np.random.default_rng(0)
    loudness = np.repeat([0, 6000, 0, 9000], 8000)
    return (rng.normal(0, 1, len(loudness)) * loudness).clip(-32768, 32767).astype(np.int16)


def test_the_first_view_is_the_picture_and_the_others_follow_their_points() -> None:
    views = views_of(given(), 6, np.random.default_rng(0))
    assert views[0] is not None
    np.testing.assert_array_equal(views[0].picture, given().picture)
    for view in views[1:]:
        nose = view.points[30]
        if (nose > 2).all() and (nose < SIDE - 2).all():
            red = float(view.picture[round(float(nose[1])), round(float(nose[0])), 0]) * SIDE / 255
            assert red == pytest.approx(float(given().points[30, 0]), abs=2.5)
    assert np.abs(views[3].points - given().points).max() > 0.5


def test_the_nose_stands_out_and_the_jaw_lies_back() -> None:
    depth = with_depth(given().points)[:, 2]
    assert depth[30] == depth.min()
    assert depth[[0, 16]].min() > depth[30] + 0.2 * SIDE * 0.4


def test_speech_windows_are_loud_ones() -> None:
    windows = speech_windows(speech(), 5, np.random.default_rng(0))
    assert windows.shape == (5, WINDOW_SAMPLES)
    assert (windows.std(axis=1) > 0.1).all()


def test_a_picture_becomes_a_model_that_draws_it() -> None:
    model = tiny_face_model()
    encoder = ImageEncoder(TINY_CONFIG.latent_dim).eval().requires_grad_(False)
    many = TalkfaceModel(dataclasses.replace(model.weights, image_encoder=encoder))
    config = TuningConfig(seconds=600, max_steps=8)
    face = likeness_of_picture(many, given(), speech(), config, num_views=3)
    own = tuned_model(many, face)
    silence = np.zeros(WINDOW_SAMPLES, np.float32)

    def error(drawer: TalkfaceModel, identity: object) -> float:
        frame = drawer.renderer(identity, runtime="torch-cpu").render(silence, None)  # type: ignore[arg-type]
        return float(np.abs(frame.astype(int) - given().picture).mean())

    assert error(own, face.identity) < error(many, many.encode_portrait(given().picture))


def test_weights_of_one_person_are_refused() -> None:
    with pytest.raises(WeightsError, match="know one face"):
        likeness_of_picture(tiny_face_model(), given(), speech(), TuningConfig(seconds=1))
