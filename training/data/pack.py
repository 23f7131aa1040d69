"""A prepared folder made small, for a training machine that is borrowed for minutes: `python -m training.data.pack`.

Videos are encoded again at a coarser step and alternate with stills until the limit is reached; the motion of the
stills (training/data/pseudo_clip.py) comes along. What a folder holds beyond the limit is left out, evenly over
persons and over the folder, so that no kind of face is lost.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from training.data.clip_format import ClipFormatError, ClipRecord, read_clip, read_manifest, write_manifest
from training.data.clip_video import write_video
from training.data.pseudo_clip import MOTION_NAME, load_motion

CRF = 18
"""Quantiser of packed clips: half the bytes of prepared ones."""
MAX_EXPRESSIONS = 600
VIDEO_SHARE = 0.45
"""Share of the bytes that videos may take while there are stills too."""
_FIXED_BYTES = 4096
"""Left for the manifest's head and rounding."""


def pack(folder: Path, out: Path, *, max_bytes: int, crf: int = CRF) -> int:
    """Write a smaller folder; returns its bytes.

    Raises:
        ClipFormatError: `folder` is not prepared, or damaged.
        ValueError: not one clip fits.
    """
    records = read_manifest(folder)
    motion = load_motion(folder) if (folder / MOTION_NAME).exists() else None
    out.mkdir(parents=True, exist_ok=True)
    videos = _spread([r for r in records if r.num_frames > 1])
    stills = _spread([r for r in records if r.num_frames == 1])
    budget = max_bytes - _FIXED_BYTES
    if motion is not None:
        motion = motion.of(set(motion.meshes), MAX_EXPRESSIONS)
        budget -= motion.bank.moves.size * 2 + motion.bank.blendshapes.size * 2 + motion.reference.size * 4
    per_mesh = 0 if motion is None else next(iter(motion.meshes.values())).size * 2
    taken: list[ClipRecord] = []
    spent = 0

    def take(queue: Iterator[ClipRecord], limit: int) -> None:
        nonlocal spent
        for record in queue:
            mesh = per_mesh if motion is not None and record.name in motion.meshes else 0
            size = _copy(folder, out, record, crf) + mesh + len(record.name) + _line_bytes(record)
            if spent + size > limit:
                _remove(out, record)
                return
            spent += size
            taken.append(record)

    take(iter(videos), int(budget * VIDEO_SHARE) if stills else budget)
    take(iter(stills), budget)
    if not taken:
        raise ValueError(f"{max_bytes} bytes holds not even one clip of {folder}; allow more")
    write_manifest(out, taken)
    kept = None if motion is None else motion.of({r.name for r in taken}, MAX_EXPRESSIONS)
    if kept is not None and kept.meshes:
        kept.save(out)
    return sum(path.stat().st_size for path in out.iterdir())


def _spread(records: Sequence[ClipRecord]) -> list[ClipRecord]:
    """Any first part of the list holds all persons in turn, and of each person clips from all over."""
    by_person: dict[str, list[ClipRecord]] = {}
    for record in records:
        by_person.setdefault(record.person, []).append(record)
    keyed = []
    for person, own in sorted(by_person.items()):
        order = np.random.default_rng(len(own)).permutation(len(own))
        keyed += [(rank / len(own) if len(own) > 50 else rank / 50, person, own[i]) for rank, i in enumerate(order)]
    return [record for *_, record in sorted(keyed, key=lambda entry: entry[:2])]


def _copy(folder: Path, out: Path, record: ClipRecord, crf: int) -> int:
    """Write a clip's two files anew; returns their bytes."""
    clip = read_clip(folder, record)
    write_video(out / f"{record.name}.mp4", clip.frames, crf=crf)
    shutil.copy(folder / f"{record.name}.safetensors", out / f"{record.name}.safetensors")
    return sum((out / f"{record.name}{ending}").stat().st_size for ending in (".mp4", ".safetensors"))


def _remove(out: Path, record: ClipRecord) -> None:
    for ending in (".mp4", ".safetensors"):
        (out / f"{record.name}{ending}").unlink(missing_ok=True)


def _line_bytes(record: ClipRecord) -> int:
    return len(json.dumps(dataclasses.asdict(record))) + 1


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prepared", type=Path, help="folder that talkface prepare wrote")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--max-mb", type=float, default=22.0, help="most megabytes (10^6 bytes) of the new folder")
    parser.add_argument("--crf", type=int, default=CRF, help="H.264 quantiser of the pictures, 0 to 51")
    args = parser.parse_args()
    if not (0 < args.max_mb < 1e6 and 0 <= args.crf <= 51):
        parser.error("--max-mb must be above 0 and --crf 0 to 51")
    try:
        size = pack(args.prepared, args.out, max_bytes=int(args.max_mb * 1e6), crf=args.crf)
    except (ClipFormatError, ValueError, OSError) as error:
        parser.error(str(error))
    records = read_manifest(args.out)
    moving = sum(r.num_frames > 1 for r in records)
    print(f"{moving} videos and {len(records) - moving} stills, {size / 1e6:.1f} MB in {args.out}")


if __name__ == "__main__":
    main()
