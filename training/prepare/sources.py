"""Which files to prepare, whose they are and which split they belong to.

A table `manifest.csv` beside or above the files (columns file, person, split, use) decides where there is one. Without
it: in a VoxCeleb2-like tree (.../id00012/VIDEO/00001.mp4) the person is the idNNNNN folder; in a flat folder and for
one file, everybody is one person named after the folder, or each file its own person if asked for.
"""

from __future__ import annotations

import csv
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from training.data.clip_format import MANIFEST
from training.prepare.media_read import IMAGE_SUFFIXES, VIDEO_SUFFIXES

_VOXCELEB_PERSON = re.compile(r"id\d{5}")
_UNSAFE = re.compile(r"[^A-Za-z0-9_.+=-]+")
TABLE = "manifest.csv"


class PrepareError(ValueError):
    """The source as a whole cannot be prepared; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file to prepare."""

    path: Path
    name: str
    """Unique and safe as a file name."""
    relative: str
    """As reports name it."""
    person: str
    split: str


def find_sources(
    source: Path, *, split: str | None = None, use: str | None = None, each_own: bool = False
) -> list[Source]:
    """Files of a folder or the one file, sorted.

    Args:
        split: only files of this split in the table.
        use: only files of this use in the table.
        each_own: without a table or idNNNNN folders, every file is its own person.

    Raises:
        PrepareError: nothing there, already prepared, or the table's columns are missing.
    """
    if not source.exists():
        raise PrepareError(f"{source}: no such file or folder")
    if source.is_dir() and (source / MANIFEST).is_file():
        raise PrepareError(f"{source} is already prepared (it holds {MANIFEST}); train on it or evaluate it as it is")
    root = source if source.is_dir() else source.parent
    table = _read_table(root)
    if table is None and (split or use):
        raise PrepareError(f"--split and --use need a {TABLE} in {root} or above it; there is none")
    wanted = VIDEO_SUFFIXES | IMAGE_SUFFIXES
    files = sorted(p for p in source.rglob("*") if p.suffix.lower() in wanted) if source.is_dir() else [source]
    found = []
    for path in files:
        row = table.get(path.resolve()) if table is not None else None
        if row is not None and ((split and row["split"] != split) or (use and row["use"] != use)):
            continue
        if row is None and table is not None and (split or use):
            continue
        relative = str(path.relative_to(root))
        person = row["person"] if row else _person(path, root, each_own)
        found.append(Source(path, _safe_name(relative), relative, person, row["split"] if row else "train"))
    if not found:
        raise PrepareError(f"{source} holds no video or picture to prepare; it knows {' '.join(sorted(wanted))}")
    return found


def _person(path: Path, root: Path, each_own: bool) -> str:
    for part in path.relative_to(root).parts:
        if _VOXCELEB_PERSON.fullmatch(part):
            return part
    return path.stem if each_own else root.resolve().name


def _read_table(root: Path) -> dict[Path, dict[str, str]] | None:
    """Rows by absolute path, from the nearest table in `root` or its parent."""
    for folder in (root, root.resolve().parent):
        path = folder / TABLE
        if not path.is_file():
            continue
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            missing = {"file", "person", "split", "use"} - set(reader.fieldnames or [])
            if missing:
                continue  # some other table
            return {(folder / row["file"]).resolve(): row for row in reader}
    return None


def _safe_name(relative: str) -> str:
    """A name for the clips' files; a short hash keeps two sources apart whose names were changed alike."""
    stem = relative.rpartition(".")[0] or relative
    safe = _UNSAFE.sub("_", stem).strip("._-+=") or "clip"
    if safe == stem and len(safe) <= 120:
        return safe
    return f"{safe[-110:]}_{hashlib.sha256(relative.encode()).hexdigest()[:8]}".lstrip("._-+=")
