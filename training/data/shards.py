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
from collections.abc import Container, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from talkface_core.whole_file import written_beside
from training.config import DataSection
from training.data.clip_format import Clip, ClipFormatError, ClipRecord, parse_record, read_clip, read_manifest
from training.data.clip_store import ClipSource, resize_clip, split_records

MAX_MEMBER_BYTES = 256 * 2**20
"""A larger member is not one of our clips."""
MAX_RECORD_BYTES = 2**20
MAX_HELD_OUT = 20
"""Validation clips that are kept in memory."""
MAX_POOL_CLIPS = 1024


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
        with written_beside(path) as partial, webdataset.TarWriter(str(partial)) as writer:
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


def find_shards(data: Path) -> list[Path]:
    """The tars of a folder, or the one tar; empty when it is neither."""
    if data.is_file() and data.suffix == ".tar":
        return [data]
    return sorted(data.glob("*.tar")) if data.is_dir() else []


def read_shard(path: Path, names: Container[str] | None = None) -> Iterator[tuple[ClipRecord, Clip]]:
    """Clips of one shard in order.

    Args:
        names: decode only these clips; None: all.

    Raises:
        ClipFormatError: the tar is damaged or holds something else; nothing of it is ever executed.
    """
    try:
        with tarfile.open(path, "r:") as tar:
            group: dict[str, bytes] = {}
            key = ""
            for member in tar:
                name, _, kind = member.name.partition(".")
                if not member.isfile() or member.size > MAX_MEMBER_BYTES or kind not in ("json", "mp4", "safetensors"):
                    raise ClipFormatError(f"{path}: {member.name!r} is not a part of a clip")
                if name != key and group:
                    yield from _clips_of(group, path, names)
                    group = {}
                key = name
                file = tar.extractfile(member)
                assert file is not None
                group[kind] = file.read()
            if group:
                yield from _clips_of(group, path, names)
    except (tarfile.TarError, OSError) as error:
        raise ClipFormatError(f"{path}: not a readable shard ({error})") from error


def _clips_of(group: dict[str, bytes], path: Path, names: Container[str] | None) -> Iterator[tuple[ClipRecord, Clip]]:
    """The clip of these members, or nothing when it is not wanted."""
    if set(group) != {"json", "mp4", "safetensors"}:
        raise ClipFormatError(f"{path}: a clip has only {', '.join(sorted(group))}")
    try:
        values: Any = json.loads(group["json"])
    except ValueError as error:
        raise ClipFormatError(f"{path}: a clip's record is not JSON ({error})") from error
    record = parse_record(values)
    if names is not None and record.name not in names:
        return
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("mp4", "safetensors"):
            (Path(folder) / f"{record.name}.{kind}").write_bytes(group[kind])
        clip = read_clip(Path(folder), record)
    yield record, clip


class ShardClips:
    """`ClipSource` over shards: a pool of `pool_clips` decoded clips, one replaced every `draws_per_clip` accesses.

    Args:
        shards: all shards of the data.
        persons: rows of the identity table; the shards' own, in order of appearance, must be among them.
        resolution_px: frames are resized to this.
        names: only these clips; None: all.
        rank, world: this process reads every `world`-th shard.

    Raises:
        ValueError: this process has no shard, or no clip in its shards.
    """

    def __init__(
        self,
        shards: Sequence[Path],
        persons: list[str],
        resolution_px: int,
        *,
        names: Container[str] | None = None,
        pool_clips: int = 256,
        draws_per_clip: int = 50,
        rank: int = 0,
        world: int = 1,
        seed: int = 0,
    ) -> None:
        own = list(shards)[rank::world]
        if not own:
            raise ValueError(
                f"process {rank} of {world} has no shard: {len(shards)} shards are too few; pack fewer clips into each"
            )
        self.persons = persons
        self._resolution_px = resolution_px
        self._names = names
        self._draws_per_clip = draws_per_clip
        self._stream = self._endless(own, random.Random(seed * 1000 + rank))
        self._pool: list[Clip] = []
        first: set[str] = set()
        while len(self._pool) < pool_clips:
            clip = next(self._stream, None)
            if clip is None:
                raise ValueError(f"no clip to train on in the {len(own)} shards of process {rank} of {world}")
            if clip.name in first:  # all clips are in the pool
                break
            first.add(clip.name)
            self._pool.append(clip)
        self.num_clips = len(self._pool)
        self._accesses = 0
        self._oldest = 0

    def _endless(self, shards: list[Path], order: random.Random) -> Iterator[Clip]:
        is_empty = False
        while not is_empty:
            is_empty = True
            order.shuffle(shards)
            for shard in shards:
                for _, clip in read_shard(shard, self._names):
                    is_empty = False
                    yield resize_clip(clip, self._resolution_px)

    def clip(self, index: int) -> Clip:
        """Clip at a place of the pool; now and then a new one moves in."""
        self._accesses += 1
        if self._accesses % self._draws_per_clip == 0:
            self._pool[self._oldest] = next(self._stream)
            self._oldest = (self._oldest + 1) % self.num_clips
        return self._pool[index]


class MemoryClips:
    """`ClipSource` of a few clips."""

    def __init__(self, clips: Sequence[Clip]) -> None:
        self._clips = list(clips)
        self.num_clips = len(self._clips)
        self.persons = sorted({clip.person for clip in clips})

    def clip(self, index: int) -> Clip:
        """Clip `index`."""
        return self._clips[index]


def read_records(shards: Sequence[Path]) -> list[ClipRecord]:
    """Records of all clips in all shards, in order; pictures and sound are skipped over.

    Raises:
        ClipFormatError: a tar is damaged or holds something else.
    """
    found = []
    for path in shards:
        try:
            with tarfile.open(path, "r:") as tar:
                for member in tar:
                    if member.isfile() and member.name.endswith(".json") and member.size < MAX_RECORD_BYTES:
                        file = tar.extractfile(member)
                        assert file is not None
                        found.append(parse_record(json.loads(file.read())))
        except (tarfile.TarError, OSError, ValueError) as error:
            raise ClipFormatError(f"{path}: not a readable shard ({error})") from error
    return found


def held_out_clips(shards: Sequence[Path], section: DataSection) -> list[Clip]:
    """The first `MAX_HELD_OUT` validation clips, as they are."""
    _, held_out = split_records(read_records(shards), section.train_split, section.val_split)
    names = {r.name for r in held_out[:MAX_HELD_OUT]}
    found: list[Clip] = []
    for shard in shards:
        if len(found) == len(names):
            break
        found += [clip for _, clip in read_shard(shard, names)]
    return found


def open_shards(
    shards: Sequence[Path], section: DataSection, resolution_px: int, *, rank: int = 0, world: int = 1, seed: int = 0
) -> tuple[ShardClips, ClipSource | None]:
    """Training clips as a pool of at most `cache_gb`, and validation clips (None when there are too few clips).

    Raises:
        ClipFormatError: a shard is damaged; ValueError: there are too few shards or clips for this process.
    """
    train, _ = split_records(read_records(shards), section.train_split, section.val_split)
    train = train[: section.max_clips] if section.max_clips else train
    frames = sum(r.num_frames for r in train) / len(train)
    pool_clips = int(section.cache_gb * 2**30 / (frames * resolution_px**2 * 3))
    pool = ShardClips(
        shards,
        sorted({r.person for r in train}),
        resolution_px,
        names={r.name for r in train},
        pool_clips=max(1, min(pool_clips, MAX_POOL_CLIPS)),
        rank=rank,
        world=world,
        seed=seed,
    )
    held_out = [resize_clip(clip, resolution_px) for clip in held_out_clips(shards, section)]
    return pool, MemoryClips(held_out) if held_out else None
