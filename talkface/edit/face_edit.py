"""Moving a face along semantic directions: find them in a video, invert a portrait, draw strips and films (paper IV).

Two ways lead from frames to latents: the model's own encoders (m = e + z + d of every frame; the fast way, for our
face models), and inversion frame by frame as in the paper (for official generators, which have no encoders).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from talkface.edit.directions import FramePair, Semantic, average_direction, edit, find_pairs
from talkface.edit.inversion import Inversion, InversionConfig, invert
from talkface_core.face.generator import Generator
from talkface_core.face.model import TalkfaceModel
from talkface_core.face.networks import base_latents, picture_to_uint8
from talkface_core.interfaces import STYLE_VALUES, FaceIdentity
from talkface_core.runtime.choice import make_runtime
from talkface_core.sound.mel import WINDOW_SAMPLES, MelWindow, frame_window
from talkface_core.style.input import face_crop
from talkface_core.style.session import FaceFollower
from talkface_core.tracking.alignment import CropSquare, cut_tensor, ffhq_square, pixels_to_tensor, tensor_to_pixels
from talkface_core.tracking.tracker import TrackedFace
from training.loss.perceptual import FeatureNetwork

FILM_S_PER_DIRECTION = 3.0
Picture = NDArray[np.uint8]
Step = Callable[[str, int, int], None]
"""Told what is being done, how far, and of how much."""


@dataclass(frozen=True, slots=True)
class Clip:
    """Frames of one person at 25 frames/s, with the sound."""

    frames: list[Picture]
    """[H, W, 3] uint8 RGB each."""
    waveform: NDArray[np.float32]
    """[L] 16 kHz; frame k is at sample 640 k."""


@dataclass(frozen=True, slots=True)
class ClipFaces:
    """The frames of a clip that show the face."""

    frames: list[Picture]
    points: NDArray[np.float64]
    """[N, 68, 2] in pixels of the picture."""
    latents: Tensor | None
    """[N, D] e + d of each, or None where only inversion gives latents."""


class EditableFace(Protocol):
    """Something whose face has a latent: our face model, or an official generator."""

    generator: Generator
    moving: Tensor
    """[D] what is always added to the identity: e of silence, or zero."""
    start: FaceIdentity
    """The face that comes with it."""

    def crop_of(self, points: NDArray[np.float64]) -> CropSquare:
        """The crop of a face that the generator was trained on, from points [68, 2]."""
        ...

    def guess(self, crop: Picture) -> FaceIdentity:
        """Where inversion of a crop begins."""
        ...

    def draw(self, identity: FaceIdentity) -> Picture:
        """The face of an identity, silent and at rest."""
        ...


class ModelFace:
    """A face model: drawn by its fastest runtime."""

    def __init__(self, model: TalkfaceModel, *, runtime: str = "auto") -> None:
        self.model = model
        networks = model.weights.networks
        self.generator = networks.generator
        self.start = model.default_identity()
        self._mel = MelWindow()(torch.zeros(1, WINDOW_SAMPLES))
        with torch.inference_mode():
            moving = networks.audio_encoder.encode_mel(self._mel)[0]
        self.moving = moving.clone()
        self._runtime = make_runtime(runtime, networks)

    def crop_of(self, points: NDArray[np.float64]) -> CropSquare:
        return CropSquare.upright(*face_crop(points.astype(np.float32)))

    def guess(self, crop: Picture) -> FaceIdentity:
        return self.start if self.model.weights.image_encoder is None else self.model.encode_portrait(crop)

    def draw(self, identity: FaceIdentity) -> Picture:
        no_style = np.zeros((1, STYLE_VALUES), dtype=np.float32)
        return self._runtime.draw(self._mel.numpy(), no_style, base_latents(self.generator.config, identity))


class GeneratorFace:
    """An official generator: its mean face, drawn by torch."""

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        mean = generator.mapping.mean_latent
        self.moving = torch.zeros_like(mean)
        self.start = FaceIdentity(mean.numpy().copy())

    def crop_of(self, points: NDArray[np.float64]) -> CropSquare:
        return ffhq_square(points)

    def guess(self, crop: Picture) -> FaceIdentity:
        return self.start

    @torch.inference_mode()
    def draw(self, identity: FaceIdentity) -> Picture:
        offsets = None if identity.layer_offsets is None else torch.from_numpy(identity.layer_offsets)
        picture = self.generator.render(torch.from_numpy(identity.z)[None], layer_offsets=offsets)
        drawn: Picture = picture_to_uint8(picture)[0].numpy()
        return drawn


class _RememberingFollower:
    """Keeps the points that a style session's follower saw last."""

    def __init__(self, follower: FaceFollower) -> None:
        self._follower = follower
        self.last: TrackedFace | None = None

    def update(self, frame: Picture) -> TrackedFace | None:
        self.last = self._follower.update(frame)
        return self.last


@torch.inference_mode()
def find_faces(face: EditableFace, clip: Clip, follower: FaceFollower, step: Step) -> ClipFaces:
    """Follow the face through a clip; for a face model, encode every frame too."""
    remembering = _RememberingFollower(follower)
    session = face.model.style_encoder(remembering) if isinstance(face, ModelFace) else None
    frames: list[Picture] = []
    points: list[NDArray[np.floating]] = []
    latents: list[Tensor] = []
    waveform = torch.from_numpy(clip.waveform)
    mel = MelWindow()
    for index, frame in enumerate(clip.frames):
        step("looking at the video", index + 1, len(clip.frames))
        style = session.encode_frame(frame) if session else None
        seen = remembering.last if session else remembering.update(frame)
        if seen is None:
            continue
        frames.append(frame)
        points.append(seen.points)
        if isinstance(face, ModelFace) and style is not None:
            networks = face.model.weights.networks
            window = mel(frame_window(waveform, index)[None])
            zero = torch.zeros(face.generator.config.latent_dim)
            latents.append(networks.latent(window, torch.from_numpy(style)[None], zero)[0])
    stacked = np.array(points, dtype=np.float64).reshape(-1, 68, 2)
    return ClipFaces(frames, stacked, torch.stack(latents) if latents else None)


def joined(parts: Sequence[ClipFaces]) -> ClipFaces:
    """Several clips of one person as one; measures and latents do not depend on where in the picture the face is."""
    latents = [part.latents for part in parts if part.latents is not None]
    return ClipFaces(
        [frame for part in parts for frame in part.frames],
        np.concatenate([part.points for part in parts]),
        torch.cat(latents) if latents else None,
    )


def pairs_of(faces: ClipFaces, semantics: Sequence[Semantic], num_pairs: int) -> dict[Semantic, list[FramePair]]:
    """Candidate pairs for each thing that the clip shows changing alone; others are left out."""
    if len(faces.frames) < 2:
        return {}
    found = {semantic: find_pairs(faces.points, semantic, num_pairs=num_pairs) for semantic in semantics}
    return {semantic: pairs for semantic, pairs in found.items() if pairs}


def directions_of(
    face: EditableFace,
    faces: ClipFaces,
    pairs: dict[Semantic, list[FramePair]],
    features: FeatureNetwork | None,
    config: InversionConfig,
    step: Step,
) -> dict[Semantic, Tensor]:
    """Average difference of the pairs' latents.

    Args:
        features: invert the frames as in the paper; None: take the encoders' latents.

    Raises:
        ValueError: features is None and there are no encoders' latents.
    """
    if features is None:
        if faces.latents is None:
            raise ValueError("this generator has no encoders: its latents come from inversion")
        encoded = faces.latents
        return {
            semantic: average_direction(encoded[[p.low for p in chosen]], encoded[[p.high for p in chosen]])
            for semantic, chosen in pairs.items()
        }
    wanted = sorted({i for chosen in pairs.values() for p in chosen for i in (p.low, p.high)})
    latents: dict[int, Tensor] = {}
    for count, index in enumerate(wanted):
        step("inverting frames", count + 1, len(wanted))
        found = invert_portrait(face, faces.frames[index], faces.points[index], features, config, lambda *_: None)
        latents[index] = torch.from_numpy(found.identity.z)
    return {
        semantic: average_direction(
            torch.stack([latents[p.low] for p in chosen]), torch.stack([latents[p.high] for p in chosen])
        )
        for semantic, chosen in pairs.items()
    }


def invert_portrait(
    face: EditableFace,
    picture: Picture,
    points: NDArray[np.float64],
    features: FeatureNetwork,
    config: InversionConfig,
    step: Step,
) -> Inversion:
    """The identity of the face in a picture (paper III.D)."""
    size = face.generator.config.resolution_px
    pixels = cut_tensor(pixels_to_tensor(picture), face.crop_of(points), size)
    return invert(
        face.generator,
        pixels[0] / 127.5 - 1,
        features,
        config,
        start=torch.from_numpy(face.guess(tensor_to_pixels(pixels)).z),
        moving=face.moving,
        progress=lambda done, total, _: step("inverting the portrait", done, total),
    )


def edited(identity: FaceIdentity, direction: Tensor, alpha: float) -> FaceIdentity:
    """The identity moved along a direction (eq. 7)."""
    z = edit(torch.from_numpy(identity.z), direction, alpha)
    return FaceIdentity(z.numpy().astype(np.float32), identity.layer_offsets)


def draw_strip(
    face: EditableFace, identity: FaceIdentity, directions: dict[Semantic, Tensor], alpha: float, columns: int
) -> Picture:
    """One row per direction, from -alpha on the left to alpha on the right: [rows * R, columns * R, 3]."""
    rows = []
    for direction in directions.values():
        steps = np.linspace(-alpha, alpha, columns)
        rows.append(np.concatenate([face.draw(edited(identity, direction, float(a))) for a in steps], axis=1))
    return np.concatenate(rows, axis=0)


def film_frames(
    face: EditableFace, identity: FaceIdentity, directions: dict[Semantic, Tensor], alpha: float, frame_rate: float
) -> list[Picture]:
    """Each direction in turn: there, back, to the other side, and back, along a sine."""
    num_frames = round(FILM_S_PER_DIRECTION * frame_rate)
    frames = []
    for direction in directions.values():
        for index in range(num_frames):
            strength = alpha * math.sin(2 * math.pi * index / num_frames)
            frames.append(face.draw(edited(identity, direction, strength)))
    return frames
