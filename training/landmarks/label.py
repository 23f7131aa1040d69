"""Label the training pictures and clips with the teacher: `python -m training.landmarks.label --help`.

Reads the manifest, takes only files marked `use=train`, and writes shards: `tiles_*.npy` [N, 256, 256, 4] uint8 (RGB
and a mask of what the picture really showed: a square 2.4 times the face), beside each a `faces_*.npz` with `meshes`
[N, 478, 3] float32 in pixels of the tile, `blendshapes` [N, 52], `people` [N] (names), and `frames_*.npz` with whole
small pictures and their points for the face finder.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from talkface_core.output_path import output_folder
from talkface_core.whole_file import written_beside
from training.landmarks.teacher import Teacher, TeacherFace

TILE_PX = 256
TILE_FACTOR = 2.4
"""Side of a tile over the larger side of the box of the 68 points: room for shifts and turns."""
FRAME_PX = 320
"""Whole pictures for the finder are scaled down to this longer side."""


def read_pictures(path: Path, max_frames: int) -> Iterator[NDArray[np.uint8]]:
    """A still, or `max_frames` frames spread evenly over a clip; RGB uint8, contiguous."""
    if path.suffix.lower() in {".jpg", ".jpeg", ".png"}:
        with Image.open(path) as image:
            yield np.asarray(image.convert("RGB")).copy()
        return
    with av.open(str(path)) as container:
        # Some headers say 0 frames: decode all (clips are short), then choose.
        frames = [frame for frame in container.decode(video=0)]
        wanted = np.unique(np.linspace(0, len(frames) - 1, min(max_frames, len(frames))).round().astype(int))
        for index in wanted:
            yield np.ascontiguousarray(frames[index].to_ndarray(format="rgb24"))


def cut_tile(picture: NDArray[np.uint8], points: NDArray[np.float32]) -> tuple[NDArray[np.uint8], float, float, float]:
    """A 256 px RGBA tile around a face; alpha is 0 where the picture ended.

    Returns:
        The tile, and scale, x, y with tile = (pixel - (x, y)) * scale.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    side = float((high - low).max()) * TILE_FACTOR
    x, y = ((low + high) / 2 - side / 2).tolist()
    alpha = np.full((*picture.shape[:2], 1), 255, dtype=np.uint8)
    rgba = Image.fromarray(np.concatenate([picture, alpha], axis=2), mode="RGBA")
    # `transform` fills what lies outside with zeros, alpha included; reducing first avoids aliasing.
    factor = max(1, int(side / TILE_PX / 1.5))
    small = rgba.reduce(factor) if factor > 1 else rgba
    box = (x / factor, y / factor, (x + side) / factor, (y + side) / factor)
    tile = small.transform((TILE_PX, TILE_PX), Image.Transform.EXTENT, box, resample=Image.Resampling.BICUBIC)
    return np.asarray(tile), TILE_PX / side, x, y


def shrink(picture: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    """Scale a picture to at most FRAME_PX on its longer side; returns it and the scale."""
    scale = min(1.0, FRAME_PX / max(picture.shape[:2]))
    if scale == 1.0:
        return picture, scale
    size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS)), scale


def save_arrays(path: Path, **arrays: NDArray[Any]) -> None:
    """Several arrays to one .npz, in one step.

    Raises:
        OSError: it cannot be written; an earlier file is as it was.
    """
    with written_beside(path) as partial, partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


class Shard:
    """Collects labelled faces of one data folder and writes its npz files."""

    def __init__(self) -> None:
        self.tiles: list[NDArray[np.uint8]] = []
        self.meshes: list[NDArray[np.float32]] = []
        self.blendshapes: list[NDArray[np.float32]] = []
        self.people: list[str] = []
        self.frames: dict[tuple[int, int], list[tuple[NDArray[np.uint8], NDArray[np.float32]]]] = {}

    def add(self, picture: NDArray[np.uint8], face: TeacherFace, person: str) -> None:
        tile, scale, x, y = cut_tile(picture, face.points)
        self.tiles.append(tile)
        self.meshes.append((face.mesh - np.array([x, y, 0], dtype=np.float32)) * np.float32(scale))
        self.blendshapes.append(face.blendshapes)
        self.people.append(person)
        small, factor = shrink(picture)
        points = face.points * np.float32(factor)
        self.frames.setdefault(small.shape[:2], []).append((small, points))

    def save(self, folder: Path, name: str) -> None:
        with written_beside(folder / f"tiles_{name}.npy") as partial, partial.open("wb") as file:
            np.save(file, np.stack(self.tiles))
        save_arrays(
            folder / f"faces_{name}.npz",
            meshes=np.stack(self.meshes),
            blendshapes=np.stack(self.blendshapes),
            people=np.array(self.people),
        )
        for (height, width), pairs in self.frames.items():
            save_arrays(
                folder / f"frames_{name}_{width}x{height}.npz",
                frames=np.stack([p[0] for p in pairs]),
                points=np.stack([p[1] for p in pairs]),
            )


def frames_per_clip(folder: str) -> int:
    """Many clips show one speaker, few clips show the others: balance people, not files."""
    return {"grid_s1": 6, "grid_others": 38, "people": 300}.get(folder, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="data folder with manifest.csv")
    parser.add_argument("--teacher", type=Path, required=True, help="face_landmarker.task")
    parser.add_argument("--out", type=output_folder, required=True, help="folder for the shards")
    parser.add_argument("--without", nargs="*", default=[], help="folders of the data to leave out (stills, people)")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with (args.data / "manifest.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["use"] == "train" and row["split"] == "train"]
    with Teacher(args.teacher) as teacher:
        for folder in sorted({row["file"].split("/")[0] for row in rows} - set(args.without)):
            shard, num_missed = Shard(), 0
            for row in (r for r in rows if r["file"].startswith(folder + "/")):
                for picture in read_pictures(args.data / row["file"], frames_per_clip(folder)):
                    faces = teacher.find(picture)
                    if faces:
                        shard.add(picture, faces[0], row["person"])
                    else:
                        num_missed += 1
            shard.save(args.out, folder)
            print(f"{folder}: {len(shard.tiles)} faces, {num_missed} pictures without", flush=True)


if __name__ == "__main__":
    main()
