"""Where the directions of `talkface edit` come from: a file, the weights, or pairs of frames found in videos."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from talkface.edit.clip_file import FRAME_RATE, read_clip, write_png
from talkface.edit.directions import FramePair, Semantic, contact_sheet, load_directions
from talkface.edit.face_edit import ClipFaces, EditableFace, Step, directions_of, find_faces, joined, pairs_of
from talkface.edit.inversion import InversionConfig
from talkface.edit.options import EditOptions
from talkface.errors import UserError
from talkface_core.face.model import weights_folder
from talkface_core.tracking.alignment import cut
from talkface_core.tracking.tracker import FaceTracker
from talkface_core.weights import DIRECTIONS_NAME
from training.loss.perceptual import FeatureNetwork

SHEET_CROP_PX = 128
Directions = dict[Semantic, Tensor]
Pairs = dict[Semantic, list[FramePair]]


def wanted_semantics(options: EditOptions) -> list[Semantic]:
    """What is to be edited; all there is without a choice.

    Raises:
        UserError: a name is unknown.
    """
    names = list(options.semantic)
    try:
        return [Semantic(name) for name in names] if names else list(Semantic)
    except ValueError:
        raise UserError(f"--semantic {names}", f"choose among {', '.join(s.value for s in Semantic)}") from None


def read_directions(face: EditableFace, options: EditOptions, wanted: list[Semantic]) -> Directions:
    """From the given file, else from the weights folder.

    Raises:
        UserError: there are none of those wanted.
        talkface_core.errors.WeightsError: the file is damaged.
    """
    path, weights = options.directions, options.model.weights
    if path is None and options.generator is None and weights != "tiny":
        folder = weights_folder(weights)
        beside = (folder if folder.is_dir() else folder.parent) / DIRECTIONS_NAME
        path = beside if beside.exists() else None
    if path is None:
        raise UserError("no directions come with these weights", "give --from-video or --directions")
    there = load_directions(path, face.generator.config.latent_dim)
    chosen = {s: there[s] for s in wanted if s in there}
    if not chosen:
        raise UserError(f"{path} holds none of {', '.join(s.value for s in wanted)}")
    return chosen


def find_directions(
    face: EditableFace,
    options: EditOptions,
    wanted: list[Semantic],
    features: FeatureNetwork | None,
    config: InversionConfig,
    step: Step,
    note: Callable[[str], None],
) -> Directions:
    """From pairs of frames of the videos.

    Args:
        features: invert the pairs' frames by these; None: take the encoders' latents.
        step: told how far it is.
        note: told how many pairs each direction has.

    Raises:
        UserError: a video cannot be read or shows no face, or nothing in it changes alone.
    """
    seen = [
        find_faces(face, read_clip(video), FaceTracker(frame_rate=float(FRAME_RATE)), step)
        for video in options.from_video
    ]
    faces = joined(seen)
    if len(faces.frames) < 2:
        raise UserError(f"{options.from_video[0]} shows no face", "choose a video in which one person faces the camera")
    pairs = pairs_of(faces, wanted, options.num_pairs)
    if options.sheets is not None:
        _write_sheets(face, faces, pairs, options)
    pairs = without_struck(pairs, options.leave_out)
    for semantic in wanted:
        note(f"{semantic.value}: {len(pairs.get(semantic, []))} pairs")
    pairs = {semantic: chosen for semantic, chosen in pairs.items() if chosen}
    if not pairs:
        raise UserError("nothing of that changes alone in the video", "a longer one may show it")
    return directions_of(face, faces, pairs, features, config, step)


def without_struck(pairs: Pairs, leave_out: tuple[str, ...]) -> Pairs:
    """The pairs but those that entries such as "mouth:3" name.

    Raises:
        UserError: an entry names no pair.
    """
    struck = set()
    for entry in leave_out:
        name, _, number = entry.partition(":")
        count = next((len(chosen) for semantic, chosen in pairs.items() if semantic.value == name), 0)
        if not number.isdigit() or not 1 <= int(number) <= count:
            raise UserError(f"--leave-out {entry!r} names no pair", "write NAME:NUMBER, such as mouth:3")
        struck.add((name, int(number)))
    return {
        semantic: [pair for i, pair in enumerate(chosen, 1) if (semantic.value, i) not in struck]
        for semantic, chosen in pairs.items()
    }


def _write_sheets(face: EditableFace, faces: ClipFaces, pairs: Pairs, options: EditOptions) -> None:
    """One contact sheet per direction."""
    assert options.sheets is not None
    options.sheets.mkdir(parents=True, exist_ok=True)
    square = face.crop_of(np.median(faces.points, axis=0))
    crops = [cut(frame, square, SHEET_CROP_PX) for frame in faces.frames]
    for semantic, chosen in pairs.items():
        write_png(options.sheets / f"{semantic.value}.png", contact_sheet(crops, chosen))
