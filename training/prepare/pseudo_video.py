"""Stills become pseudo video, so that thousands of people teach what moves and what stays.

`python -m training.prepare.pseudo_video PREPARED OUT --teacher face_landmarker.task`: every clip of one frame turns
into a short one in which the head turns, nods, rolls, shifts and comes nearer, and the face talks and blinks with
expressions taken from the prepared videos; clips that move already are copied. E_image then sees one frame of a
sample, E_style and the loss another. The landmark teacher's 3D mesh carries the motion: a picture is bent by a
thin-plate spline through mesh points (Bookstein, 1989), a ring of points around the head goes along with the skull,
the background stays.

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
from numpy.typing import NDArray
from torch.nn import functional as F

from training.data.clip_format import Clip, ClipRecord, read_clip, read_manifest, write_clip, write_manifest
from training.landmarks.teacher import MESH_TO_68, Teacher
from training.landmarks.warp import (
    RIGID_POINTS,
    ExpressionBank,
    Mesh,
    canonical_meshes,
    control_indices,
    fit_similarity,
    thin_plate_grid,
    turn,
)

SPLINE_SIDE = 64
"""The spline is evaluated on so many cells a side and interpolated between."""
RING_RADII = (0.8, 1.05)
"""Rings around the head in face sizes: hair and outline."""
RING_RAISE = 0.25
"""The rings' centre above the face's, in face sizes: there is more head above the brows than below the chin."""
RING_DEPTH = 0.35
"""How far the outline of the head lies behind the eyes' plane, in face sizes."""
ANCHOR_GAP = 0.35
"""Points of the picture's edge nearer than this to the head, in face sizes, go along with it instead of staying."""
EXPRESSION_EVERY = 5
"""Every so many frames of the videos give an expression."""
MAX_EXPRESSIONS = 3000
YAW, PITCH, ROLL, ZOOM, SHIFT = 0.11, 0.08, 0.08, 0.06, 0.09
"""Standard size of a path's swing: radians, radians, radians, share, face sizes."""
MAX_SWINGS = 2.3
"""A path goes no further than so many of them: a still that is turned by more than 15 degrees folds at the cheek."""
EXPRESSION_GAIN = 0.65
"""The bank exaggerates, for landmarks; a bent picture has no more teeth and lids than the still showed."""


@dataclasses.dataclass(frozen=True, slots=True)
class HeadPath:
    """Pose over T frames, relative to the still; the first frame is the still itself."""

    yaw: NDArray[np.float64]
    pitch: NDArray[np.float64]
    roll: NDArray[np.float64]
    zoom: NDArray[np.float64]
    shift: NDArray[np.float64]
    """[T, 2] face sizes"""


def head_path(rng: np.random.Generator, num_frames: int) -> HeadPath:
    """A smooth path: two slow waves in each direction, as strong as heads in calls move, now and then stronger."""
    t = np.arange(num_frames) / num_frames
    liveliness = rng.choice([0.4, 1.0, 1.8], p=[0.25, 0.5, 0.25])

    def wave(size: float) -> NDArray[np.float64]:
        swings = [
            rng.normal(0, size) * np.sin(2 * np.pi * (rng.uniform(0.5, 2.0) * t + rng.uniform())) for _ in range(2)
        ]
        path = np.sum(swings, axis=0) * liveliness
        bounded: NDArray[np.float64] = np.clip(path - path[0], -MAX_SWINGS * size, MAX_SWINGS * size)
        return bounded

    return HeadPath(wave(YAW), wave(PITCH), wave(ROLL), 1 + wave(ZOOM), np.stack([wave(SHIFT), wave(0.7 * SHIFT)], 1))


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


class StillMover:
    """Bends one still.

    Args:
        picture: [R, R, 3] uint8.
        mesh: [478, 3] pixels, the teacher's.
        reference: [478, 3] the mean face that expressions are differences from.
        rng: which mesh points carry the spline.
    """

    def __init__(self, picture: NDArray[np.uint8], mesh: Mesh, reference: Mesh, rng: np.random.Generator) -> None:
        self._picture = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float()
        self._side = picture.shape[0]
        self._mesh = mesh
        rigid = list(RIGID_POINTS)
        self._scale, self._rotation, _ = fit_similarity(reference[rigid], mesh[rigid])
        low, high = mesh[:468, :2].min(0), mesh[:468, :2].max(0)
        self._size = float((high - low).max())
        middle = (low + high) / 2
        self._centre = np.array([*middle, float(mesh[list(RIGID_POINTS), 2].mean())])
        self._chosen = control_indices(rng)
        self._outline = self._ring()
        self._anchors = self._still_points()

    def _ring(self) -> Mesh:
        angles = np.linspace(0, 2 * np.pi, 17)[:-1]
        circle = np.stack([np.cos(angles), np.sin(angles) - RING_RAISE], axis=1)
        points = np.concatenate([self._centre[:2] + self._size * r * circle for r in RING_RADII])
        points = points[points[:, 1] < self._centre[1] + 0.75 * self._size]  # the neck bends between head and shoulders
        return np.column_stack([points, np.full(len(points), self._centre[2] + RING_DEPTH * self._size)])

    def _still_points(self) -> NDArray[np.float64]:
        """[N, 2] points of the picture's edge that stay, and far ones that keep the spline flat outside."""
        line = np.linspace(0, self._side, 9)
        edge = np.array([(x, y) for x in line for y in line if {x, y} & {0.0, float(self._side)}])
        head = np.concatenate([self._mesh[self._chosen, :2], self._outline[:, :2]])
        gaps = np.linalg.norm(edge[:, None] - head[None], axis=-1).min(axis=1)
        far = (np.array([(x, y) for x in (0, 0.5, 1) for y in (0, 0.5, 1) if (x, y) != (0.5, 0.5)]) - 0.5) * 2.2 + 0.5
        return np.concatenate([edge[gaps > ANCHOR_GAP * self._size], far * self._side])

    def move(self, path: HeadPath, frame: int, expression: Mesh) -> tuple[NDArray[np.uint8], Mesh]:
        """The picture [R, R, 3] and the mesh [478, 3] at a frame of the path."""
        cos, sin = np.cos(path.roll[frame]), np.sin(path.roll[frame])
        in_plane = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        pose = in_plane @ turn(float(path.yaw[frame]), float(path.pitch[frame])) * path.zoom[frame]
        # Heads turn about the neck: below the face and behind it.
        pivot = self._centre + np.array([0.0, 0.6, 0.5]) * self._size
        shift = np.array([*path.shift[frame], 0.0]) * self._size

        def posed(points: Mesh) -> Mesh:
            turned: Mesh = (points - pivot) @ pose.T + pivot + shift
            return turned

        moved = posed(self._mesh + self._scale * expression @ self._rotation.T)
        unit = 2 / self._side
        ground = np.concatenate([moved[self._chosen, :2], posed(self._outline)[:, :2], self._anchors]) * unit - 1
        origin = np.concatenate([self._mesh[self._chosen, :2], self._outline[:, :2], self._anchors]) * unit - 1
        # The displacement is smooth and may be interpolated; where it is none the picture stays to the pixel.
        moves = (thin_plate_grid(ground, origin, side=SPLINE_SIDE) - _cells(SPLINE_SIDE)).permute(2, 0, 1)[None]
        moves = F.interpolate(moves, size=(self._side, self._side), mode="bicubic", align_corners=False)
        grid = _cells(self._side) + moves[0].permute(1, 2, 0)
        bent = F.grid_sample(self._picture, grid[None], mode="bilinear", padding_mode="border", align_corners=False)
        return bent[0].permute(1, 2, 0).round().clamp(0, 255).to(torch.uint8).numpy(), moved


def _cells(side: int) -> torch.Tensor:
    """[side, side, 2] centres of a picture's cells, -1..1."""
    axis = (torch.arange(side) * 2 + 1) / side - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x, y], dim=-1)


def pseudo_clip(
    clip: Clip, mesh: Mesh, reference: Mesh, bank: ExpressionBank, num_frames: int, rng: np.random.Generator
) -> Clip:
    """A still as a clip of `num_frames`, silent; its first frame is the still.

    The 68 points move as the mesh's do, from where `talkface prepare` found them.
    """
    mover = StillMover(clip.frames[0], mesh, reference, rng)
    path, expressions = head_path(rng, num_frames), expression_path(rng, bank, num_frames)
    frames, points = [clip.frames[0]], [clip.points[0]]
    still = mesh[list(MESH_TO_68), :2]
    for frame in range(1, num_frames):
        picture, moved = mover.move(path, frame, expressions[frame])
        frames.append(picture)
        points.append((clip.points[0] + moved[list(MESH_TO_68), :2] - still).astype(np.float32))
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
