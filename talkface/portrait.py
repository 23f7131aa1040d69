"""A face from one picture: read, find the face, cut it as the models were trained, encode it (E_image)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from talkface.errors import UserError
from talkface_core.errors import CoreError
from talkface_core.face.model import TalkfaceModel
from talkface_core.interfaces import FaceIdentity
from talkface_core.style.input import face_crop
from talkface_core.tracking.alignment import CropSquare, cut
from talkface_core.tracking.tracker import FaceTracker

PICTURE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})


def is_picture(path: str | Path) -> bool:
    """By the name's ending."""
    return Path(path).suffix.lower() in PICTURE_SUFFIXES


def read_picture(path: Path) -> NDArray[np.uint8]:
    """[H, W, 3] RGB, upright as the camera held it.

    Raises:
        UserError: it is not a picture.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            picture: NDArray[np.uint8] = np.asarray(ImageOps.exif_transpose(image).convert("RGB")).copy()
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, ValueError) as error:
        raise UserError(f"{path} is not a picture that can be read ({error})") from error
    return picture


def find_portrait(path: Path, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The face's 68 points in pixels of the picture, [68, 2].

    Raises:
        UserError: there is no face.
    """
    seen = FaceTracker().update(picture)
    if seen is None:
        raise UserError(f"{path} shows no face", "choose a picture in which the face is large and turned to the camera")
    return seen.points


def portrait_identity(model: TalkfaceModel, path: Path) -> FaceIdentity:
    """The identity of the face in a picture file.

    Raises:
        UserError: no picture, no face, or weights that know one face only.
    """
    picture = read_picture(path)
    square = CropSquare.upright(*face_crop(find_portrait(path, picture)))
    try:
        return model.encode_portrait(cut(picture, square, model.info.resolution_px))
    except CoreError as error:
        raise UserError(f"{path}: {error}") from error
