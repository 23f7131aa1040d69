"""`talkface edit` from its options to its files: load a face, get directions, invert a portrait, draw."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import numpy as np

from talkface.edit.clip_file import FRAME_RATE, write_film, write_png
from talkface.edit.directions import save_directions
from talkface.edit.face_edit import (
    EditableFace,
    GeneratorFace,
    ModelFace,
    Step,
    draw_strip,
    film_frames,
    invert_portrait,
)
from talkface.edit.find import Directions, find_directions, read_directions, wanted_semantics
from talkface.edit.inversion import InversionConfig
from talkface.edit.official_checkpoints import load_official_generator
from talkface.edit.options import EditOptions
from talkface.portrait import find_portrait, read_picture
from talkface_core.face.model import load_face_model
from talkface_core.interfaces import FaceIdentity
from training.loss.perceptual import FeatureNetwork, choose_feature_network

STRIP_COLUMNS = 7


class EditProgress(Protocol):
    """Who is told what comes of it."""

    def result(self, text: str) -> None:
        """A file is written."""
        ...

    def note(self, text: str) -> None:
        """Something worth knowing on the way."""
        ...

    def stages(self) -> AbstractContextManager[Step]:
        """While this is open, long work says how far it is."""
        ...


def run_edit(options: EditOptions, progress: EditProgress) -> None:
    """Do what was asked for.

    Raises:
        UserError, CoreError, ValueError: it cannot be done; the message says why.
        OSError: a file cannot be written.
    """
    face = _load_face(options)
    config = InversionConfig(steps=options.steps, layer_offsets=options.layer_offsets)
    wanted = wanted_semantics(options)
    if options.from_video:
        inverts = options.invert_pairs or options.generator is not None
        features = _features(options, progress) if inverts else None
        with progress.stages() as step:
            found = find_directions(face, options, wanted, features, config, step, progress.note)
    else:
        found = read_directions(face, options, wanted)
    if options.save_directions is not None:
        save_directions(options.save_directions, found)
    identity = face.start
    if options.portrait is not None:
        identity = _invert(face, options.portrait, options, config, progress)
    _draw(face, identity, found, options, progress)


def _load_face(options: EditOptions) -> EditableFace:
    if options.generator is not None:
        return GeneratorFace(load_official_generator(options.generator))
    return ModelFace(load_face_model(options.model.weights), runtime=options.model.runtime.value)


def _features(options: EditOptions, progress: EditProgress) -> FeatureNetwork:
    features = choose_feature_network(options.vgg16)
    progress.note(f"pictures are compared by: {features.name}")
    return features


def _invert(
    face: EditableFace, portrait: Path, options: EditOptions, config: InversionConfig, progress: EditProgress
) -> FaceIdentity:
    picture = read_picture(portrait)
    points = find_portrait(portrait, picture).astype(np.float64)
    with progress.stages() as step:
        found = invert_portrait(face, picture, points, _features(options, progress), config, step)
    progress.note(f"portrait: {found.psnr_db:.1f} dB after step {found.best_step}")
    return found.identity


def _draw(
    face: EditableFace,
    identity: FaceIdentity,
    directions: Directions,
    options: EditOptions,
    progress: EditProgress,
) -> None:
    alpha = options.alpha
    write_png(options.output, draw_strip(face, identity, directions, alpha, STRIP_COLUMNS))
    names = ", ".join(semantic.value for semantic in directions)
    progress.result(f"{options.output}: rows {names}, from -{alpha:g} to +{alpha:g}")
    if options.film is not None:
        frames = film_frames(face, identity, directions, alpha, float(FRAME_RATE))
        write_film(options.film, frames)
        progress.result(f"{options.film}: {len(frames) / FRAME_RATE} s")
