"""A still as a silent clip in which the head moves and the face talks and blinks.

What moves whom lies in `motion.safetensors` of a prepared folder: the teacher's mesh of every still, and expressions of
the people in the videos (training/landmarks/pseudo_video.py writes it). So a machine without the teacher, and data that
must be small, can make the clips while it reads them (`data.still_frames`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.clip_format import Clip, ClipFormatError
from training.data.face_mesh import (
    MESH_TO_68,
    NUM_MESH_POINTS,
    RIGID_POINTS,
    ExpressionBank,
    Mesh,
    control_indices,
    fit_similarity,
)
from training.data.moving_still import MovingStill, head_path

MOTION_NAME = "motion.safetensors"
EXPRESSION_GAIN = 0.65
"""The bank exaggerates, for landmarks; a bent picture has no more teeth and lids than the still showed."""


@dataclass(frozen=True, slots=True)
class Motion:
    """What moves the stills of a prepared folder."""

    meshes: dict[str, Mesh]
    """[478, 3] by the still's clip name."""
    reference: Mesh
    """[478, 3] the mean face that expressions are differences from."""
    bank: ExpressionBank

    def of(self, names: set[str], max_expressions: int) -> Motion:
        """A smaller one: these stills, so many of the expressions."""
        step = max(1, -(-len(self.bank.moves) // max_expressions))
        bank = ExpressionBank(self.bank.moves[::step], self.bank.blendshapes[::step])
        return Motion({n: m for n, m in self.meshes.items() if n in names}, self.reference, bank)

    def save(self, folder: Path) -> None:
        """Write it into a prepared folder, coordinates as half floats: a tenth of a pixel."""
        from safetensors.numpy import save_file

        names = sorted(self.meshes)
        tensors: dict[str, NDArray[Any]] = {
            "meshes": np.stack([self.meshes[n] for n in names]).astype(np.float16),
            "names": np.frombuffer("\n".join(names).encode(), np.uint8),
            "reference": self.reference.astype(np.float32),
            "moves": self.bank.moves.astype(np.float16),
            "blendshapes": self.bank.blendshapes.astype(np.float16),
        }
        partial = folder / f"{MOTION_NAME}.part"
        save_file(tensors, partial)
        partial.replace(folder / MOTION_NAME)


def load_motion(folder: Path) -> Motion:
    """Read what `Motion.save` wrote.

    Raises:
        ClipFormatError: missing, damaged, or of other shapes.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = folder / MOTION_NAME
    try:
        tensors = load_file(path)
        names = tensors["names"].tobytes().decode().split("\n")
        meshes, moves, scores = (tensors[k].astype(np.float64) for k in ("meshes", "moves", "blendshapes"))
        reference = tensors["reference"].astype(np.float64)
    except (OSError, SafetensorError, KeyError, UnicodeDecodeError) as error:
        raise ClipFormatError(
            f"{path}: {error}; make it with python -m training.landmarks.pseudo_video {folder} --teacher BUNDLE"
        ) from error
    shape = (NUM_MESH_POINTS, 3)
    wrong = meshes.shape != (len(names), *shape) or moves.shape[1:] != shape or reference.shape != shape
    if wrong or len(scores) != len(moves) or not len(moves):
        raise ClipFormatError(f"{path}: its parts do not fit one another; make it again")
    bank = ExpressionBank(moves, scores.astype(np.float32))
    return Motion(dict(zip(names, meshes, strict=True)), reference, bank)


def expression_path(rng: np.random.Generator, bank: ExpressionBank, num_frames: int) -> Mesh:
    """[T, 478, 3] expressions that pass smoothly from one drawn from the bank to the next; the first is none."""
    num_keys = max(2, num_frames // 3 + 1)
    drawn = [EXPRESSION_GAIN * bank.draw(rng) for _ in range(num_keys - 1)]
    keys = np.stack([np.zeros_like(drawn[0]), *drawn])
    at = np.arange(num_frames) / max(num_frames - 1, 1) * (num_keys - 1)
    low = np.minimum(at.astype(int), num_keys - 2)
    share = (1 - np.cos(np.pi * (at - low))) / 2
    mixed: Mesh = keys[low] * (1 - share)[:, None, None] + keys[low + 1] * share[:, None, None]
    return mixed


def pseudo_clip(clip: Clip, motion: Motion, num_frames: int, rng: np.random.Generator) -> Clip:
    """A still as a clip of `num_frames`, silent; its first frame is the still.

    The 68 points move as the mesh's do, from where `talkface prepare` found them. A still without a mesh stays as it
    is.
    """
    mesh = motion.meshes.get(clip.name)
    if mesh is None:
        return clip
    rigid, chosen, shown = list(RIGID_POINTS), control_indices(rng), list(MESH_TO_68)
    scale, rotation, _ = fit_similarity(motion.reference[rigid], mesh[rigid])
    still = MovingStill(clip.frames[0], mesh[chosen])
    path, expressions = head_path(rng, num_frames), expression_path(rng, motion.bank, num_frames)
    frames, points = [clip.frames[0]], [clip.points[0]]
    for frame in range(1, num_frames):
        expression = scale * expressions[frame] @ rotation.T
        frames.append(still.picture(path, frame, expression[chosen]))
        moved = still.posed(mesh[shown] + expression[shown], path, frame)
        points.append((clip.points[0] + moved[:, :2] - mesh[shown, :2]).astype(np.float32))
    silence = np.zeros(640 * num_frames, np.int16)
    return Clip(clip.name, clip.person, np.stack(frames), np.stack(points), silence, has_sound=False)
