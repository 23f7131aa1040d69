"""Checkpoints: a folder of safetensors shards of at most 15 MB and an index with their hashes, written atomically.

    checkpoints/step_00000500/index.json            format, config of the model, counters, shards with sha256
    checkpoints/step_00000500/shard_000.safetensors

A checkpoint is written under another name, flushed to disk and renamed: whatever happens meanwhile (a full disk, a
power cut), the one before stays whole. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from talkface_core.errors import CheckpointMismatchError, WeightsError
from talkface_core.tensor_shards import read_shards, write_shards
from talkface_core.whole_file import write_whole

_YOUNGER_FIELDS = {"discriminator": "stylegan2"}
"""Fields of a model's config that earlier checkpoints lack, and what they were made with."""
FORMAT_VERSION = 1
INDEX = "index.json"
_NAME = re.compile(r"step_(\d{8,})")
_MAX_INDEX_BYTES = 8 * 2**20


class CheckpointWriteError(OSError):
    """A checkpoint could not be written; the run stops, the last good one is untouched."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything a run needs to go on."""

    tensors: dict[str, Tensor]
    """By path name: "networks/...", "ema/...", "adam_g/...", ..."""
    meta: dict[str, Any]
    """Counters and the model's config; plain JSON values."""

    def under(self, prefix: str) -> dict[str, Tensor]:
        """The tensors of one part, such as "ema", by their names in it."""
        return {n.removeprefix(f"{prefix}/"): t for n, t in self.tensors.items() if n.startswith(f"{prefix}/")}


def save_checkpoint(folder: Path, step: int, checkpoint: Checkpoint, keep: int, *, half: bool = False) -> Path:
    """Write a checkpoint and remove those older than the last `keep`.

    Args:
        folder: of all checkpoints of the run.
        half: store float32 as float16 (smaller, no longer exact).

    Raises:
        CheckpointWriteError: the disk is full or not writable, or a tensor is not finite as it would be stored; the
            message says what survives.
    """
    if bad := next((n for n, t in _stored(checkpoint.tensors, half) if not torch.isfinite(t).all()), None):
        raise CheckpointWriteError(
            f"checkpoint of step {step} is not written: {bad} holds NaN or infinity; {_survivor(folder)}. "
            "Lower the learning rates (--train.lr, --train.lr_generator) and repeat the command to go on from it"
        )
    target = folder / f"step_{step:08d}"
    partial = folder / f".partial_{step:08d}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        stored = _stored(checkpoint.tensors, half)
        shards = write_shards(partial, stored, lambda number, _: f"shard_{number:03d}.safetensors")
        listed = [{"name": s.name, "sha256": s.sha256} for s in shards]
        index = {"version": FORMAT_VERSION, "meta": checkpoint.meta, "shards": listed}
        write_whole(partial / INDEX, json.dumps(index, indent=1).encode())
        if target.exists():
            shutil.rmtree(target)
        partial.rename(target)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise CheckpointWriteError(
            f"checkpoint of step {step} could not be written to {folder} ({error.strerror or error}); "
            f"{_survivor(folder)}. Free some space and repeat the command: the run goes on from there"
        ) from error
    for old in _checkpoints(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint, or None."""
    found = _checkpoints(folder)
    return found[-1] if found else None


def load_checkpoint(path: Path, model: Mapping[str, Any] | None = None) -> Checkpoint:
    """Read and verify a checkpoint.

    Args:
        path: its folder.
        model: the model's config that the tensors must have been made with; None accepts any.

    Raises:
        WeightsError: missing, damaged or not ours.
        CheckpointMismatchError: another format version or another model.
    """
    index = _read_index(path)
    if model is not None:
        check_same_model(str(path / INDEX), model, index["meta"].get("model"))
    return Checkpoint(read_shards(path, index["shards"], "use an earlier checkpoint"), index["meta"])


def checkpoint_meta(path: Path) -> dict[str, Any]:
    """A checkpoint's counters and configs without its tensors.

    Raises:
        WeightsError, CheckpointMismatchError: as `load_checkpoint`.
    """
    meta: dict[str, Any] = _read_index(path)["meta"]
    return meta


def trained_against(meta: Mapping[str, Any]) -> frozenset[str]:
    """Networks that were losses of a checkpoint, from its meta; older ones do not say."""
    names = meta.get("trained_against", [])
    return frozenset(str(name) for name in names) if isinstance(names, list) else frozenset()


def _read_index(path: Path) -> dict[str, Any]:
    index_path = path / INDEX
    try:
        if index_path.stat().st_size > _MAX_INDEX_BYTES:
            raise WeightsError(f"{index_path}: not a checkpoint index (too large)")
        index = json.loads(index_path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{index_path}: not a readable checkpoint index ({error})") from error
    if (
        not isinstance(index, dict)
        or not isinstance(index.get("meta"), dict)
        or not isinstance(index.get("shards"), list)
    ):
        raise WeightsError(f"{index_path}: not a checkpoint index")
    if index.get("version") != FORMAT_VERSION:
        raise CheckpointMismatchError(f"{index_path}: format version", FORMAT_VERSION, index.get("version"))
    return index


def check_same_model(where: str, expected: Mapping[str, Any], got: Any) -> None:
    """Raise CheckpointMismatchError naming the first field in which two model configs differ."""
    if not isinstance(got, Mapping):
        raise WeightsError(f"{where}: the checkpoint does not say which model it holds")
    expected, got = {**_YOUNGER_FIELDS, **expected}, {**_YOUNGER_FIELDS, **got}
    for name in sorted({*expected, *got}):
        if expected.get(name) != got.get(name):
            raise CheckpointMismatchError(f"{where}: model.{name}", expected.get(name), got.get(name))


def _checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    if not folder.is_dir():
        return []
    found = [p for p in folder.iterdir() if _NAME.fullmatch(p.name) and (p / INDEX).is_file()]
    return sorted(found, key=lambda p: int(p.name.removeprefix("step_")))


def _survivor(folder: Path) -> str:
    last = latest_checkpoint(folder)
    return f"the last good one is {last.name}" if last else "there is no earlier one"


def _stored(tensors: Mapping[str, Tensor], half: bool) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in tensors.items():
        yield name, tensor.half() if half and tensor.dtype == torch.float32 else tensor
