"""Stills become pseudo video, so that thousands of people teach what moves and what stays.

`python -m training.landmarks.pseudo_video PREPARED OUT --teacher face_landmarker.task`: every clip of one frame turns
into a short one in which the head turns, nods, rolls, shifts and comes nearer, and the face talks and blinks with
expressions taken from the prepared videos; clips that move already are copied. E_image then sees one frame of a
sample, E_style and the loss another. The landmark teacher's 3D mesh carries the motion: a picture is bent by a
thin-plate spline through mesh points (Bookstein, 1989), a ring of points around the head goes along with the skull,
the background stays (training/data/moving_still.py).

What a bent picture cannot show: the side of the head that was hidden, teeth behind closed lips. Real videos teach
those.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch

from training.data.clip_format import Clip, ClipRecord, read_clip, read_manifest, write_clip, write_manifest
from training.data.moving_still import MovingStill, head_path
from training.landmarks.teacher import MESH_TO_68, Teacher
from training.landmarks.warp import (
    RIGID_POINTS,
    ExpressionBank,
    Mesh,
    canonical_meshes,
    control_indices,
    fit_similarity,
)

EXPRESSION_EVERY = 5
"""Every so many frames of the videos give an expression."""
MAX_EXPRESSIONS = 3000
EXPRESSION_GAIN = 0.65
"""The bank exaggerates, for landmarks; a bent picture has no more teeth and lids than the still showed."""


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


def pseudo_clip(
    clip: Clip, mesh: Mesh, reference: Mesh, bank: ExpressionBank, num_frames: int, rng: np.random.Generator
) -> Clip:
    """A still as a clip of `num_frames`, silent; its first frame is the still.

    The 68 points move as the mesh's do, from where `talkface prepare` found them.
    """
    rigid, chosen, shown = list(RIGID_POINTS), control_indices(rng), list(MESH_TO_68)
    scale, rotation, _ = fit_similarity(reference[rigid], mesh[rigid])
    still = MovingStill(clip.frames[0], mesh[chosen])
    path, expressions = head_path(rng, num_frames), expression_path(rng, bank, num_frames)
    frames, points = [clip.frames[0]], [clip.points[0]]
    for frame in range(1, num_frames):
        expression = scale * expressions[frame] @ rotation.T
        frames.append(still.picture(path, frame, expression[chosen]))
        moved = still.posed(mesh[shown] + expression[shown], path, frame)
        points.append((clip.points[0] + moved[:, :2] - mesh[shown, :2]).astype(np.float32))
    silence = np.zeros(640 * num_frames, np.int16)
    return Clip(clip.name, clip.person, np.stack(frames), np.stack(points), silence, has_sound=False)


def collect_expressions(
    folder: Path, records: Sequence[ClipRecord], teacher: Teacher, reference: Mesh
) -> ExpressionBank:
    """Expressions of the people in the videos of a prepared folder.

    Raises:
        ValueError: no video shows a face to the teacher.
    """
    step = max(EXPRESSION_EVERY, sum(r.num_frames for r in records) // MAX_EXPRESSIONS)
    meshes, shapes, people = [], [], []
    for record in records:
        for picture in read_clip(folder, record).frames[::step]:
            for face in teacher.find(picture)[:1]:
                meshes.append(face.mesh.astype(np.float64))
                shapes.append(face.blendshapes)
                people.append(record.person)
    if not meshes:
        raise ValueError(f"{folder}: no video in which the teacher finds a face; expressions come from videos")
    return ExpressionBank(np.stack(meshes), np.stack(shapes), np.array(people), reference)


_Job = tuple[Path, Path, ClipRecord, Mesh, Mesh, ExpressionBank, int, int]


def _write_one(job: _Job) -> ClipRecord:
    source, out, record, mesh, reference, bank, num_frames, seed = job
    torch.set_num_threads(1)
    clip = pseudo_clip(read_clip(source, record), mesh, reference, bank, num_frames, np.random.default_rng(seed))
    moved = dataclasses.replace(record, num_frames=num_frames)
    write_clip(out, moved, clip, np.ones(num_frames, bool))
    return moved


def make_pseudo_video(source: Path, out: Path, bundle: Path, *, num_frames: int, seed: int, workers: int) -> int:
    """Turn the stills of a prepared folder into clips of `num_frames` and copy its videos; returns how many moved.

    Raises:
        ClipFormatError: `source` is not a prepared folder.
        ValueError: there is no still, or no video to take expressions from.
    """
    records = read_manifest(source)
    stills = [r for r in records if r.num_frames == 1]
    videos = [r for r in records if r.num_frames > 1]
    if not stills:
        raise ValueError(f"{source}: every clip moves already; there is no still to turn into one")
    out.mkdir(parents=True, exist_ok=True)
    with Teacher(bundle) as teacher:
        found: list[tuple[ClipRecord, Mesh]] = []
        for record in stills:
            faces = teacher.find(read_clip(source, record).frames[0])
            if faces:
                found.append((record, faces[0].mesh.astype(np.float64)))
        meshes = np.stack([mesh for _, mesh in found[:400]])
        reference = canonical_meshes(meshes, meshes[0]).mean(axis=0)
        bank = collect_expressions(source, videos, teacher, reference)
    print(f"{len(found)} of {len(stills)} stills have a mesh", flush=True)
    for record in videos:
        for ending in (".mp4", ".safetensors"):
            shutil.copy(source / (record.name + ending), out / (record.name + ending))
    jobs = [(source, out, r, mesh, reference, bank, num_frames, seed + i) for i, (r, mesh) in enumerate(found)]
    moved = []
    with ProcessPoolExecutor(workers) as pool:
        for record in pool.map(_write_one, jobs, chunksize=4):
            moved.append(record)
            if len(moved) % 100 == 0:
                print(f"{len(moved)} of {len(jobs)}", flush=True)
    write_manifest(out, [*videos, *moved])
    return len(moved)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prepared", type=Path, help="folder that talkface prepare wrote, stills and videos in it")
    parser.add_argument("out", type=Path, help="prepared folder to write")
    parser.add_argument("--teacher", type=Path, required=True, help="face_landmarker.task")
    parser.add_argument("--frames", type=int, default=10, help="frames of a clip made from a still")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.frames < 2 or args.workers < 1:
        parser.error("--frames must be 2 or more and --workers 1 or more")
    count = make_pseudo_video(
        args.prepared, args.out, args.teacher, num_frames=args.frames, seed=args.seed, workers=args.workers
    )
    print(f"{count} stills became clips of {args.frames} frames in {args.out}")


if __name__ == "__main__":
    main()
