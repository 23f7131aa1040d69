"""Millions of clips: prepared clips packed into WebDataset tar shards, and a pool of clips that streams through them.

A shard is a plain tar; clip NAME is NAME.json (its manifest line), NAME.mp4 and NAME.safetensors, next to each other.
Training keeps a pool of decoded clips and replaces the oldest while it draws from the others, so disk and memory hold
a part of the data at a time. Every process of a distributed run reads shards of its own.
"""

from __future__ import annotations

import json
import random
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from training.clip_format import Clip, ClipFormatError, ClipRecord, parse_record, read_clip, read_manifest
from training.clip_store import resize_frames

MAX_MEMBER_BYTES = 256 * 2**20
"""A larger member is not one of our clips."""


def write_shards(prepared: Path, out: Path, clips_per_shard: int = 500, split: str | None = None) -> list[Path]:
    """Pack a prepared folder; clips are shuffled once, by name, so that a shard mixes persons.

    Args:
        split: only clips of this split.

    Raises:
        ClipFormatError: the folder is not prepared, or no clip has that split.
    """
    import webdataset

    records = [r for r in read_manifest(prepared) if split is None or r.split == split]
    if not records:
        raise ClipFormatError(f"{prepared} holds no clip of split {split!r}")
    random.Random(0).shuffle(records)
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, start in enumerate(range(0, len(records), clips_per_shard)):
        path = out / f"clips-{number:06d}.tar"
        with webdataset.TarWriter(str(path)) as writer:
            for record in records[start : start + clips_per_shard]:
                writer.write(
                    {
                        # A dot in a clip's name would end the key that groups its files.
                        "__key__": f"{start:09d}-{record.name.replace('.', '_')}",
                        "json": asdict(record),
                        "mp4": (prepared / f"{record.name}.mp4").read_bytes(),
                        "safetensors": (prepared / f"{record.name}.safetensors").read_bytes(),
                    }
                )
        paths.append(path)
    return paths


def read_shard(path: Path) -> Iterator[tuple[ClipRecord, Clip]]:
    """Clips of one shard in order.

    Raises:
        ClipFormatError: the tar is damaged or holds something else; nothing of it is ever executed.
    """
    try:
        with tarfile.open(path) as tar:
            group: dict[str, bytes] = {}
            key = ""
            for member in tar:
                name, _, kind = member.name.partition(".")
                if not member.isfile() or member.size > MAX_MEMBER_BYTES or kind not in ("json", "mp4", "safetensors"):
                    raise ClipFormatError(f"{path}: {member.name!r} is not a part of a clip")
                if name != key and group:
                    yield _clip_of(group, path)
                    group = {}
                key = name
                file = tar.extractfile(member)
                assert file is not None
                group[kind] = file.read()
            if group:
                yield _clip_of(group, path)
    except (tarfile.TarError, OSError) as error:
        raise ClipFormatError(f"{path}: not a readable shard ({error})") from error


def _clip_of(group: dict[str, bytes], path: Path) -> tuple[ClipRecord, Clip]:
    if set(group) != {"json", "mp4", "safetensors"}:
        raise ClipFormatError(f"{path}: a clip has only {', '.join(sorted(group))}")
    try:
        values: Any = json.loads(group["json"])
    except ValueError as error:
        raise ClipFormatError(f"{path}: a clip's record is not JSON ({error})") from error
    record = parse_record(values)
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("mp4", "safetensors"):
            (Path(folder) / f"{record.name}.{kind}").write_bytes(group[kind])
        return record, read_clip(Path(folder), record)


class ShardClips:
    """`ClipSource` over shards: a pool of `pool_clips` decoded clips, one replaced every `draws_per_clip` accesses.

    Args:
        shards: all shards of the data.
        persons: rows of the identity table; the shards' own, in order of appearance, must be among them.
        resolution_px: frames are resized to this.
        rank, world: this process reads every `world`-th shard.
    """

    def __init__(
        self,
        shards: Sequence[Path],
        persons: list[str],
        resolution_px: int,
        *,
        pool_clips: int = 256,
        draws_per_clip: int = 50,
        rank: int = 0,
        world: int = 1,
        seed: int = 0,
    ) -> None:
        own = list(shards)[rank::world]
        if not own:
            raise ValueError(f"process {rank} of {world} has no shard: {len(shards)} shards are too few")
        self.persons = persons
        self._resolution_px = resolution_px
        self._draws_per_clip = draws_per_clip
        self._stream = self._endless(own, random.Random(seed * 1000 + rank))
        self._pool: list[Clip] = []
        first: set[str] = set()
        while len(self._pool) < pool_clips:
            clip = next(self._stream)
            if clip.name in first:  # all clips are in the pool
                break
            first.add(clip.name)
            self._pool.append(clip)
        self.num_clips = len(self._pool)
        self._accesses = 0
        self._oldest = 0

    def _endless(self, shards: list[Path], order: random.Random) -> Iterator[Clip]:
        while True:
            order.shuffle(shards)
            for shard in shards:
                for _, clip in read_shard(shard):
                    yield self._resized(clip)

    def _resized(self, clip: Clip) -> Clip:
        scale = self._resolution_px / clip.frames.shape[1]
        frames = resize_frames(clip.frames, self._resolution_px)
        points = (clip.points * scale).astype(clip.points.dtype)
        return Clip(clip.name, clip.person, frames, points, clip.samples, clip.has_sound)

    def clip(self, index: int) -> Clip:
        """Clip at a place of the pool; now and then a new one moves in."""
        self._accesses += 1
        if self._accesses % self._draws_per_clip == 0:
            self._pool[self._oldest] = next(self._stream)
            self._oldest = (self._oldest + 1) % self.num_clips
        return self._pool[index]


def persons_of(shards: Sequence[Path]) -> list[str]:
    """Persons in all shards, sorted; reads only the records."""
    found: set[str] = set()
    for path in shards:
        try:
            with tarfile.open(path) as tar:
                for member in tar:
                    if member.isfile() and member.name.endswith(".json") and member.size < 2**20:
                        file = tar.extractfile(member)
                        assert file is not None
                        found.add(parse_record(json.loads(file.read())).person)
        except (tarfile.TarError, OSError, ValueError) as error:
            raise ClipFormatError(f"{path}: not a readable shard ({error})") from error
    return sorted(found)
