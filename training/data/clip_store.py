"""Decoded clips for training: frames in memory, or in one file when they are too many; the rest in memory.

Decoding happens once, at the start. `ClipSource` is what the sampler sees, so that shards (training/data/shards.py) can
stand in for a folder.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from training.data.clip_format import Clip, ClipRecord, read_manifest
from training.data.clip_reader import ClipReader

LOG_INTERVAL_S = 20.0


class ClipSource(Protocol):
    """Random access to clips at the training resolution."""

    num_clips: int
    persons: list[str]

    def clip(self, index: int) -> Clip: ...


def resize_frames(frames: NDArray[np.uint8], size_px: int) -> NDArray[np.uint8]:
    """[T, R, R, 3] to [T, size, size, 3], area-weighted when shrinking."""
    if frames.shape[1] == size_px:
        return frames
    x = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
    y = F.interpolate(x, size=(size_px, size_px), mode="bicubic", align_corners=False, antialias=True)
    resized: NDArray[np.uint8] = y.round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()
    return resized


def resize_clip(clip: Clip, size_px: int) -> Clip:
    """A clip with pictures of another side; the same object where they have it already."""
    side = clip.frames.shape[1]
    if side == size_px:
        return clip
    points = (clip.points * (size_px / side)).astype(clip.points.dtype)
    return dataclasses.replace(clip, frames=resize_frames(clip.frames, size_px), points=points)


def spread(total: int, count: int) -> set[int]:
    """`count` of the numbers 0..total-1, far apart: neighbours by name often show one person in one shot."""
    count = min(count, total)
    return {(2 * i + 1) * total // (2 * count) for i in range(count)}


def split_records(
    records: Sequence[ClipRecord], train_split: str, val_split: str
) -> tuple[list[ClipRecord], list[ClipRecord]]:
    """Training and validation clips; without a validation split the last tenth by name stands in (two at least).

    Raises:
        ValueError: no clip is left to train on.
    """
    train = [r for r in records if r.split == train_split]
    val = [r for r in records if r.split == val_split]
    if not val and len(train) > 2:
        # By clip, never by frame: neighbouring frames are nearly the same picture.
        cut = max(1, len(train) // 10)
        train, val = train[:-cut], train[-cut:]
    if not train:
        splits = sorted({r.split for r in records})
        raise ValueError(f"no clip has split {train_split!r}; there are {', '.join(splits)}: --data.train_split")
    return train, val


class FolderClips:
    """Clips of a prepared folder, decoded once.

    Args:
        folder: prepared folder.
        records: which of its clips.
        resolution_px: frames are resized to this.
        cache_gb: limit of what is held in memory; above it, frames lie in a file under `cache_folder`.
        log: told how far the reading is, when it takes long.
        still_frames: stills become clips of so many frames (training/data/pseudo_clip.py); 0: they stand still.

    Raises:
        ClipFormatError: a clip is missing or damaged, or stills are to move and the folder does not say how.
    """

    def __init__(
        self,
        folder: Path,
        records: Sequence[ClipRecord],
        resolution_px: int,
        cache_gb: float,
        cache_folder: Path,
        log: Callable[[str], None] = lambda text: None,
        still_frames: int = 0,
    ) -> None:
        self._log = log
        self._reader = ClipReader(folder, records, still_frames)
        records = self._reader.records
        self.num_clips = len(records)
        self.persons = sorted({r.person for r in records})
        self.resolution_px = resolution_px
        self._records = list(records)
        self._starts = np.cumsum([0, *(r.num_frames for r in records)])
        total = int(self._starts[-1])
        shape = (total, resolution_px, resolution_px, 3)
        self._points: list[NDArray[np.float32]] = []
        self._samples: list[NDArray[np.int16]] = []
        path = cache_folder / f"frames_{self._digest(folder)}.npy"
        if total * resolution_px**2 * 3 <= cache_gb * 2**30:
            self._frames = np.empty(shape, np.uint8)
            self._fill(folder)
        else:
            self._frames = self._open_or_make(path, shape, folder)

    def _digest(self, folder: Path) -> str:
        text = repr((str(folder), self.resolution_px, self._records))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _open_or_make(self, path: Path, shape: tuple[int, ...], folder: Path) -> NDArray[np.uint8]:
        # The points of a still that moves are made with its pictures: they cannot be read beside old ones.
        if path.exists() and not self._reader.moves:
            frames: NDArray[np.uint8] = np.load(path, mmap_mode="r")
            if frames.shape == shape:
                self._frames = frames
                self._fill(folder, write=False)
                return frames
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part.npy")
        self._frames = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
        self._fill(folder)
        partial.replace(path)
        return self._frames

    def _fill(self, folder: Path, *, write: bool = True) -> None:
        from safetensors.numpy import load_file

        said_s = time.monotonic()
        clips = self._reader.clips() if write else None
        for index, record in enumerate(self._records):
            if time.monotonic() - said_s > LOG_INTERVAL_S:
                said_s = time.monotonic()
                self._log(f"{index} of {self.num_clips} clips are read")
            if clips is not None:
                clip = next(clips)
                self._frames[self._starts[index] : self._starts[index + 1]] = resize_frames(
                    clip.frames, self.resolution_px
                )
                points, samples = clip.points, clip.samples
            else:
                tensors = load_file(folder / f"{record.name}.safetensors")
                points, samples = tensors["points"], tensors["samples"]
            self._points.append((points * (self.resolution_px / record.resolution_px)).astype(np.float32))
            self._samples.append(samples)

    def clip(self, index: int) -> Clip:
        """Clip `index`; arrays are views."""
        record = self._records[index]
        return Clip(
            record.name,
            record.person,
            self._frames[self._starts[index] : self._starts[index + 1]],
            self._points[index],
            self._samples[index],
            record.has_sound,
        )


def open_folder(
    folder: Path,
    *,
    resolution_px: int,
    train_split: str,
    val_split: str,
    max_clips: int,
    cache_gb: float,
    cache_folder: Path,
    log: Callable[[str], None] = lambda text: None,
    still_frames: int = 0,
) -> tuple[FolderClips, FolderClips | None]:
    """Training and validation clips of a prepared folder (validation is None when there are too few clips).

    Only training's stills move: what is validated with is what was filmed.
    """
    train, val = split_records(read_manifest(folder), train_split, val_split)
    train = train[:max_clips] if max_clips else train
    log(f"reading {len(train)} clips to train on and {len(val)} to validate with from {folder}")
    training = FolderClips(folder, train, resolution_px, cache_gb, cache_folder, log, still_frames)
    return training, FolderClips(folder, val, resolution_px, cache_gb, cache_folder, log) if val else None
