"""Stills become pseudo video, so that thousands of people teach what moves and what stays.

`python -m training.landmarks.pseudo_video PREPARED OUT --teacher face_landmarker.task`: notes in PREPARED what moves
whom (motion.safetensors), and writes OUT, where every clip of one frame has become a short one: the head turns, nods,
rolls, shifts and comes nearer, the face talks and blinks with expressions taken from the prepared videos. Clips that
move already are copied. E_image then sees one frame of a sample, E_style and the loss another.

The landmark teacher's 3D mesh carries the motion: a picture is bent by a thin-plate spline through mesh points
(Bookstein, 1989), a ring of points around the head goes along with the skull, the background stays
(training/data/moving_still.py).

What a bent picture cannot show: the side of the head that was hidden, teeth behind closed lips. Real videos teach
those.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from talkface_core.output_path import is_same_place, output_folder
from training.data.clip_format import ClipRecord, read_clip, read_manifest, write_clip, write_manifest
from training.data.face_mesh import ExpressionBank, Mesh, canonical_meshes
from training.data.pseudo_clip import Motion, load_motion, pseudo_clip
from training.landmarks.teacher import Teacher

EXPRESSION_EVERY = 5
"""Every so many frames of the videos give an expression."""
MAX_EXPRESSIONS = 3000


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
    return ExpressionBank.of_people(np.stack(meshes), np.stack(shapes), np.array(people), reference)


def label_motion(folder: Path, bundle: Path) -> Motion:
    """Meshes of the stills and expressions of the videos of a prepared folder, written into it.

    Raises:
        ClipFormatError: not a prepared folder.
        ValueError: there is no still, or no video to take expressions from.
    """
    records = read_manifest(folder)
    stills = [r for r in records if r.num_frames == 1]
    meshes: dict[str, Mesh] = {}
    with Teacher(bundle) as teacher:
        for record in stills:
            faces = teacher.find(read_clip(folder, record).frames[0])
            if faces:
                meshes[record.name] = faces[0].mesh.astype(np.float64)
        if not meshes:
            raise ValueError(f"{folder}: no still in which the teacher finds a face")
        some = np.stack(list(meshes.values())[:400])
        reference = canonical_meshes(some, some[0]).mean(axis=0)
        bank = collect_expressions(folder, [r for r in records if r.num_frames > 1], teacher, reference)
    motion = Motion(meshes, reference, bank)
    motion.save(folder)
    print(f"{len(meshes)} of {len(stills)} stills have a mesh; {len(bank.moves)} expressions", flush=True)
    return motion


_motion: Motion | None = None
"""Of a worker process."""


def _begin_worker(source: Path) -> None:
    global _motion
    torch.set_num_threads(1)
    _motion = load_motion(source)


def _write_one(job: tuple[Path, Path, ClipRecord, int, int]) -> ClipRecord:
    source, out, record, num_frames, seed = job
    assert _motion is not None
    clip = pseudo_clip(read_clip(source, record), _motion, num_frames, np.random.default_rng(seed))
    moved = dataclasses.replace(record, num_frames=len(clip.frames))
    write_clip(out, moved, clip, np.ones(len(clip.frames), bool))
    return moved


def write_pseudo_video(source: Path, out: Path, *, num_frames: int, seed: int, workers: int) -> int:
    """Turn the stills of a labelled folder into clips of `num_frames` and copy its videos; returns how many moved.

    Raises:
        ClipFormatError: `source` is not prepared, or not labelled.
    """
    motion = load_motion(source)
    records = read_manifest(source)
    if is_same_place(source, out):
        raise ValueError(f"{out} is the folder that is read: give another for the clips")
    out.mkdir(parents=True, exist_ok=True)
    others = [r for r in records if r.name not in motion.meshes]
    for record in others:
        for ending in (".mp4", ".safetensors"):
            shutil.copy(source / (record.name + ending), out / (record.name + ending))
    jobs = [
        (source, out, record, num_frames, seed + i)
        for i, record in enumerate(r for r in records if r.name in motion.meshes)
    ]
    moved: list[ClipRecord] = []
    # Forked processes would inherit torch's threads and may wait for them for ever.
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin_worker, (source,)) as pool:
        for record in pool.map(_write_one, jobs, chunksize=4):
            moved.append(record)
            if len(moved) % 100 == 0:
                print(f"{len(moved)} of {len(jobs)}", flush=True)
    write_manifest(out, [*others, *moved])
    return len(moved)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prepared", type=Path, help="folder that talkface prepare wrote, stills and videos in it")
    parser.add_argument(
        "out", type=output_folder, nargs="?", help="prepared folder to write; without it, only motion is noted"
    )
    parser.add_argument("--teacher", type=Path, help="face_landmarker.task; not needed where motion is noted already")
    parser.add_argument("--frames", type=int, default=8, help="frames of a clip made from a still")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.frames < 2 or args.workers < 1:
        parser.error("--frames must be 2 or more and --workers 1 or more")
    if args.teacher is not None:
        label_motion(args.prepared, args.teacher)
    if args.out is not None:
        count = write_pseudo_video(
            args.prepared, args.out, num_frames=args.frames, seed=args.seed, workers=args.workers
        )
        print(f"{count} stills became clips of {args.frames} frames in {args.out}")


if __name__ == "__main__":
    main()
