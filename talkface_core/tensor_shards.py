"""Tensors in safetensors shards of bounded size, each listed with its sha256 and verified before it is read.

What lists them, and under which names, is up to the format: weights (talkface_core/weights.py) and the checkpoints
of training. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from talkface_core.errors import WeightsError
from talkface_core.whole_file import write_whole

SHARD_BYTES = 15_000_000
"""Most bytes of a shard, unless a single tensor is larger: files that any host of code takes."""
MAX_SHARD_BYTES = 1 << 30
"""A larger file is not one of ours."""
_HEADER_BYTES = 100
"""Dtype, shape and offsets of a tensor in a shard's header, beside its name."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard as written."""

    name: str
    sha256: str
    num_bytes: int


def write_shards(
    folder: Path,
    tensors: Iterable[tuple[str, Tensor]],
    name_of: Callable[[int, str], str],
    *,
    shard_bytes: int = SHARD_BYTES,
) -> list[Shard]:
    """Write tensors in order; what a shard holds is copied to the CPU just before it is written.

    Args:
        name_of: a file's name from its number and its sha256.

    Raises:
        OSError: a file cannot be written.
    """
    shards = []
    for number, group in enumerate(_groups(tensors, shard_bytes)):
        content = save_tensors(group)
        digest = hashlib.sha256(content).hexdigest()
        shard = Shard(name_of(number, digest), digest, len(content))
        write_whole(folder / shard.name, content)
        shards.append(shard)
    return shards


def read_shards(folder: Path, listed: Iterable[Any], advice: str) -> dict[str, Tensor]:
    """Verify shards, then read their tensors as they are stored.

    Args:
        listed: as in the index: "name", "sha256" and, where the format has it, "bytes".
        advice: what to do about a damaged one, for the message.

    Raises:
        WeightsError: one is missing, of another length or content, not safetensors, or its name is not a plain one.
    """
    tensors: dict[str, Tensor] = {}
    seen: set[str] = set()
    for shard in listed:
        tensors |= _read_shard(folder, shard, advice)
        if shard["name"] in seen:
            raise WeightsError(f"{folder}: shard {shard['name']!r} is listed twice; {advice}")
        seen.add(shard["name"])
    return tensors


def _read_shard(folder: Path, shard: Any, advice: str) -> dict[str, Tensor]:
    name = shard.get("name") if isinstance(shard, dict) else None
    if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
        raise WeightsError(f"{folder}: shard {name!r} is not a plain safetensors file name")
    path = folder / name
    try:
        size = path.stat().st_size
        expected = shard.get("bytes", size)
        if size != expected or size > MAX_SHARD_BYTES:
            raise WeightsError(f"{path}: {size} bytes, expected {expected}; {advice}")
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror}); {advice}") from None
    if hashlib.sha256(content).hexdigest() != shard.get("sha256"):
        raise WeightsError(f"{path}: damaged, its sha256 is not the expected one; {advice}")
    try:
        return load_tensors(content)
    except (SafetensorError, ValueError) as error:
        raise WeightsError(f"{path}: not a safetensors file ({error})") from None


def _groups(tensors: Iterable[tuple[str, Tensor]], shard_bytes: int) -> Iterator[dict[str, Tensor]]:
    group: dict[str, Tensor] = {}
    size = 0
    for name, tensor in tensors:
        num_bytes = tensor.numel() * tensor.element_size() + len(name) + _HEADER_BYTES
        if group and size + num_bytes > shard_bytes:
            yield group
            group, size = {}, 0
        # Tensors that share memory would be refused: each gets its own.
        group[name] = tensor.detach().cpu().clone().contiguous()
        size += num_bytes
    if group:
        yield group
