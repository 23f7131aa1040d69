"""A face from a picture file: found, cut as in training, encoded; what cannot be used is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from receiver.identity_store import identity_for_model
from talkface.errors import UserError
from talkface.portrait import find_portrait, is_picture, portrait_identity, read_picture
from talkface.side.parts import load_identity
from talkface_core.face.image_encoder import ImageEncoder
from talkface_core.face.model import TINY_CONFIG, TalkfaceModel, load_face_model
from talkface_core.face.networks import seeded_networks
from talkface_core.sound.mel import WINDOW_SAMPLES
from talkface_core.style.input import face_crop
from talkface_core.tracking.alignment import CropSquare, cut
from talkface_core.weights import FaceWeights


@pytest.fixture(scope="module")
def model() -> TalkfaceModel:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        encoder = ImageEncoder(TINY_CONFIG.latent_dim).eval().requires_grad_(False)
    networks = seeded_networks(TINY_CONFIG, 1)
    return TalkfaceModel(FaceWeights(name="many", networks=networks, image_encoder=encoder, sha256="ab" * 32))


@pytest.fixture(scope="module")
def face() -> NDArray[np.uint8]:
    """The default face, drawn: a picture with a face in it that our own programs made."""
    default = load_face_model("default")
    return default.renderer(default.default_identity()).render(np.zeros(WINDOW_SAMPLES, np.float32), None)


def save(picture: NDArray[np.uint8], path: Path) -> Path:
    Image.fromarray(picture).save(path)
    return path


def test_the_face_is_cut_wherever_it_is(model: TalkfaceModel, face: NDArray[np.uint8], tmp_path: Path) -> None:
    wide = np.full((400, 640, 3), 90, np.uint8)
    wide[100:356, 300:556] = face
    near, far = (save(picture, tmp_path / f"{name}.png") for name, picture in (("near", face), ("far", wide)))
    points = find_portrait(far, read_picture(far))
    expected = model.encode_portrait(cut(wide, CropSquare.upright(*face_crop(points)), model.info.resolution_px))
    np.testing.assert_array_equal(portrait_identity(model, far).z, expected.z)
    # The same face elsewhere in a larger picture: nearly the same crop and so nearly the same identity.
    a, b = portrait_identity(model, near).z, portrait_identity(model, far).z
    assert np.corrcoef(a, b)[0, 1] > 0.95


def test_a_picture_is_an_identity_for_a_call(model: TalkfaceModel, face: NDArray[np.uint8], tmp_path: Path) -> None:
    path = save(face, tmp_path / f"{'ü' * 40}.jpg")
    file = load_identity(str(path), model)
    assert file.name == "ü" * 32
    np.testing.assert_allclose(
        identity_for_model(file, model.info).z, portrait_identity(model, path).z, rtol=1e-3, atol=1e-3
    )


def test_what_cannot_be_used_is_named(model: TalkfaceModel, face: NDArray[np.uint8], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"wall\.png shows no face"):
        portrait_identity(model, save(np.full((300, 300, 3), 120, np.uint8), tmp_path / "wall.png"))
    (tmp_path / "text.jpg").write_text("hello")
    with pytest.raises(UserError, match=r"text\.jpg is not a picture that can be read"):
        load_identity(str(tmp_path / "text.jpg"), model)
    with pytest.raises(UserError, match=r"gone\.png is not a picture"):
        load_identity(str(tmp_path / "gone.png"), model)
    portrait = save(face, tmp_path / "face.png")
    with pytest.raises(UserError, match=r"know one face and have no image encoder; use .*'general'"):
        load_identity(str(portrait), load_face_model("default"))
    assert is_picture("A.JPEG")
    assert not is_picture("ann.identity")
