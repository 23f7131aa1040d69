"""A folder of prepared clips: `manifest.jsonl`, and per clip NAME.mp4 (square crops) and NAME.safetensors.

The safetensors file holds `points` [T, 68, 2] float32 in pixels of the crop, `found` [T] uint8 (1: a face was found,
0: held from its neighbours) and `samples` [S] int16 at 16 kHz, sample 0 at the time of frame 0, S = 640 T.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkface_core.sound.mel import SAMPLES_PER_FRAME
from talkface_core.whole_file import write_whole
from training.data.clip_video import ClipVideoError, read_video, write_video

MANIFEST = "manifest.jsonl"
FORMAT_VERSION = 1
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=-]{0,199}")


class ClipFormatError(ValueError):
    """A prepared folder or clip is not as it should be; the message names the file and the fix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipRecord:
    """One line of the manifest."""

    name: str
    """Also the stem of both files."""
    person: str
    split: str
    num_frames: int
    resolution_px: int
    source: str
    """File that the clip was cut from, relative to the source folder."""
    start_s: float
    """Where in the source the clip begins."""
    has_sound: bool
    """False for stills and silent files: no lips to learn from."""
    av_offset_frames: float | None
    """How many frames the sound is late by the check, None where it could not be told."""
    crop: tuple[float, float, float]
    """Left, top and side of the crop in pixels of the source."""
    version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ClipFormatError(f"clip name {self.name!r}: letters, digits and ._+=- only")
        if self.version != FORMAT_VERSION:
            raise ClipFormatError(
                f"clip {self.name}: format version {self.version}, this code reads {FORMAT_VERSION}; prepare again"
            )
        if self.num_frames < 1 or self.resolution_px < 8:
            raise ClipFormatError(f"clip {self.name}: {self.num_frames} frames of {self.resolution_px} px")


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip in memory."""

    name: str
    person: str
    frames: NDArray[np.uint8]
    """[T, R, R, 3] RGB"""
    points: NDArray[np.float32]
    """[T, 68, 2] pixels"""
    samples: NDArray[np.int16]
    """[640 T] 16 kHz"""
    has_sound: bool


def write_clip(folder: Path, record: ClipRecord, clip: Clip, found: NDArray[np.bool_]) -> None:
    """Write both files of a clip, the video last (a clip is complete when both are there)."""
    from safetensors.numpy import save

    tensors: dict[str, Any] = {
        "points": clip.points.astype(np.float32),
        "found": found.astype(np.uint8),
        "samples": clip.samples,
    }
    write_whole(folder / f"{record.name}.safetensors", save(tensors, {"record": json.dumps(asdict(record))}))
    write_video(folder / f"{record.name}.mp4", clip.frames)


def read_clip(folder: Path, record: ClipRecord) -> Clip:
    """Read and check a clip.

    Raises:
        ClipFormatError: files are missing, damaged or do not fit the manifest.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(folder / f"{record.name}.safetensors")
        points, samples = tensors["points"], tensors["samples"]
        frames = read_video(folder / f"{record.name}.mp4")
    except (OSError, SafetensorError, KeyError, ClipVideoError) as error:
        raise ClipFormatError(f"clip {record.name} in {folder}: {error}; prepare it again") from error
    t, r = record.num_frames, record.resolution_px
    if frames.shape != (t, r, r, 3) or points.shape != (t, 68, 2) or samples.shape != (t * SAMPLES_PER_FRAME,):
        raise ClipFormatError(
            f"clip {record.name} in {folder}: manifest says {t} frames of {r} px, files hold video "
            f"{list(frames.shape)}, points {list(points.shape)}, sound {list(samples.shape)}; prepare it again"
        )
    return Clip(record.name, record.person, frames, points.astype(np.float32), samples, record.has_sound)


def write_manifest(folder: Path, records: Iterable[ClipRecord]) -> None:
    """Write the manifest in one step, sorted by name."""
    lines = [json.dumps(asdict(r)) for r in sorted(records, key=lambda r: r.name)]
    write_whole(folder / MANIFEST, "".join(line + "\n" for line in lines).encode())


def is_prepared(folder: Path) -> bool:
    """True when `folder` holds a manifest."""
    return (folder / MANIFEST).is_file()


def read_manifest(folder: Path) -> list[ClipRecord]:
    """Records of a prepared folder.

    Raises:
        ClipFormatError: no manifest, or a line of it is wrong.
    """
    path = folder / MANIFEST
    if not path.is_file():
        if not folder.is_dir():
            raise ClipFormatError(f"{folder}: no such folder; give one that talkface prepare wrote")
        raise ClipFormatError(
            f"{folder} is not prepared (no {MANIFEST}): run talkface prepare {folder} OUT, then give OUT"
        )
    records = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            records.append(parse_record(json.loads(line)))
        except (ValueError, TypeError) as error:
            raise ClipFormatError(f"{path} line {number}: {error}") from error
    if not records:
        raise ClipFormatError(f"{path} lists no clip")
    return records


def parse_record(values: Any) -> ClipRecord:
    """A record from JSON values.

    Raises:
        ClipFormatError: fields are missing, unknown or of another type.
    """
    if not isinstance(values, dict):
        raise ClipFormatError("a record must be a JSON object")
    names = {f.name for f in fields(ClipRecord)}
    if set(values) != names:
        raise ClipFormatError(f"a record must have exactly the fields {', '.join(sorted(names))}")
    crop = values["crop"]
    if not isinstance(crop, list) or len(crop) != 3:
        raise ClipFormatError("crop must be [left, top, side]")
    for name, kind in (("name", str), ("person", str), ("split", str), ("num_frames", int), ("resolution_px", int)):
        if not isinstance(values[name], kind):
            raise ClipFormatError(f"{name} must be {kind.__name__}, not {values[name]!r}")
    return ClipRecord(**{**values, "crop": (float(crop[0]), float(crop[1]), float(crop[2]))})
