"""Clips of a prepared folder in order; stills may become moving clips on the way, in processes beside one another."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from training.data.clip_format import Clip, ClipRecord, read_clip
from training.data.pseudo_clip import Motion, load_motion, pseudo_clip

SEED = 20_261_126
"""How a still moves follows from this and its place in the folder: a resumed run sees the same clips."""


class ClipReader:
    """Reads clips.

    Args:
        folder: prepared folder.
        records: which of its clips.
        still_frames: stills become clips of so many frames; 0: they stand still.

    Raises:
        ClipFormatError: stills are to move and the folder does not say how.
    """

    def __init__(self, folder: Path, records: Sequence[ClipRecord], still_frames: int = 0) -> None:
        self._folder, self._given, self._still_frames = folder, list(records), still_frames
        known: set[str] = set(load_motion(folder).meshes) if still_frames else set()
        self._moved = [r.num_frames == 1 and r.name in known for r in records]
        self.records = [
            dataclasses.replace(r, num_frames=still_frames) if moved else r
            for r, moved in zip(records, self._moved, strict=True)
        ]
        """As the clips come: with the number of frames that they have then."""

    @property
    def moves(self) -> bool:
        """Some of the clips were stills."""
        return any(self._moved)

    def clips(self) -> Iterator[Clip]:
        """Every clip, in the order of the records.

        Raises:
            ClipFormatError: one is missing or damaged.
        """
        if not self.moves:
            yield from (read_clip(self._folder, record) for record in self._given)
            return
        jobs = [
            (self._folder, record, self._still_frames if moved else 0, SEED + i)
            for i, (record, moved) in enumerate(zip(self._given, self._moved, strict=True))
        ]
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        # Forked processes would inherit torch's threads and may wait for them for ever.
        with ProcessPoolExecutor(workers, get_context("spawn"), _begin_worker, (self._folder,)) as pool:
            yield from pool.map(_read_one, jobs, chunksize=8)


_motion: Motion | None = None
"""Of a worker process."""


def _begin_worker(folder: Path) -> None:
    global _motion
    torch.set_num_threads(1)
    _motion = load_motion(folder)


def _read_one(job: tuple[Path, ClipRecord, int, int]) -> Clip:
    folder, record, still_frames, seed = job
    clip = read_clip(folder, record)
    if not still_frames:
        return clip
    assert _motion is not None
    return pseudo_clip(clip, _motion, still_frames, np.random.default_rng(seed))
