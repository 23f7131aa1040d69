"""`talkface prepare SRC OUT`: many files in parallel, resumable, every drop with its reason.

OUT/manifest.jsonl      clips (training/data/clip_format.py), written at the end
OUT/dropped.jsonl       {"source", "start_s", "reason"}
OUT/done/NAME.json      what became of one source: the memory of an interrupted run
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path

import torch

from talkface_core.whole_file import write_whole
from training.data.clip_format import ClipFormatError, ClipRecord, parse_record, write_manifest
from training.prepare.face_eye import FaceEye, TrackingEye
from training.prepare.file import ClipRules, Dropped, prepare_file, use_one_thread
from training.prepare.sources import PrepareError, Source, find_sources

EyeFactory = Callable[[], FaceEye]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareOptions:
    """What the command line says."""

    source: Path
    out: Path
    resolution_px: int = 256
    split: str | None = None
    use: str | None = None
    each_own: bool = False
    workers: int = 0
    """Processes; 0: one per core."""
    rules: ClipRules = field(default_factory=ClipRules)

    def clip_rules(self) -> ClipRules:
        """The rules at this resolution."""
        return ClipRules(**{**asdict(self.rules), "resolution_px": self.resolution_px})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one source."""

    source: str
    records: list[ClipRecord]
    dropped: list[Dropped]


@dataclass(frozen=True, slots=True)
class PrepareReport:
    """What became of all."""

    num_sources: int
    num_clips: int
    seconds: float
    dropped: dict[str, int]
    """Number of drops by reason, numbers in the reasons left out."""


def prepare(
    options: PrepareOptions, *, log: Callable[[str], None] = print, make_eye: EyeFactory = TrackingEye
) -> PrepareReport:
    """Prepare every source; repeat the same call to go on after an interruption.

    Args:
        make_eye: makes the face tracker in each process (module-level, so that it can be sent there).

    Raises:
        PrepareError: nothing to prepare, or nothing came out; the message says what to do.
        OSError: the disk is full or not writable; what was done is kept.
    """
    sources = find_sources(options.source, split=options.split, use=options.use, each_own=options.each_own)
    done_folder = options.out / "done"
    done_folder.mkdir(parents=True, exist_ok=True)
    rules = options.clip_rules()
    outcomes: list[Outcome] = []
    waiting: list[Source] = []
    for source in sources:
        known = remembered(done_folder, source, rules)
        if known is not None:
            outcomes.append(known)
        else:
            waiting.append(source)
    if outcomes:
        log(f"{len(outcomes)} of {len(sources)} files were done before")
    if waiting:
        log(f"{len(waiting)} files to prepare, {num_workers(options.workers, len(waiting))} at a time")
    for number, outcome in enumerate(run_local(waiting, options.out, rules, options.workers, make_eye), 1):
        outcomes.append(outcome)
        reasons = "".join(f"; dropped {d.start_s:.1f} s: {d.reason}" for d in outcome.dropped)
        log(f"[{number}/{len(waiting)}] {outcome.source}: {len(outcome.records)} clips{reasons}")
    return finish(options.out, outcomes, log)


def finish(out: Path, outcomes: Sequence[Outcome], log: Callable[[str], None]) -> PrepareReport:
    """Write manifest and drop report.

    Raises:
        PrepareError: no clip came out of anything.
    """
    records = [r for o in outcomes for r in o.records]
    dropped = sorted((d for o in outcomes for d in o.dropped), key=lambda d: (d.source, d.start_s))
    write_whole(out / "dropped.jsonl", "".join(json.dumps(asdict(d)) + "\n" for d in dropped).encode())
    by_reason = dict(Counter(_kind(d.reason) for d in dropped).most_common())
    for reason, count in by_reason.items():
        log(f"dropped {count}: {reason}")
    if not records:
        raise PrepareError(f"no clip came out of {len(outcomes)} files; {out / 'dropped.jsonl'} says why, file by file")
    write_manifest(out, records)
    seconds = sum(r.num_frames for r in records) / 25
    log(f"{len(records)} clips, {seconds / 60:.1f} minutes, {len({r.person for r in records})} persons in {out}")
    return PrepareReport(len(outcomes), len(records), seconds, by_reason)


def num_workers(wanted: int, num_sources: int) -> int:
    """Processes for so many files; `wanted` 0 is one per core."""
    return min(wanted or os.cpu_count() or 1, num_sources)


def run_local(
    sources: Sequence[Source], out: Path, rules: ClipRules, workers: int, make_eye: EyeFactory
) -> Iterator[Outcome]:
    """Prepare on this machine's cores; a file that kills its process is dropped, the others go on."""
    count = num_workers(workers, len(sources))
    if count <= 1:
        threads = torch.get_num_threads()
        use_one_thread()  # pictures are small: a second thread waits more than it works
        try:
            eye = make_eye() if sources else None
            for source in sources:
                assert eye is not None
                yield prepare_and_remember(source, out, rules, eye)
        finally:
            torch.set_num_threads(threads)
        return
    left = {s.name: s for s in sources}
    try:
        for outcome, name in _run_pool(list(sources), out, rules, count, make_eye):
            del left[name]
            yield outcome
    except BrokenProcessPool:
        # One of those in flight crashed a decoder: each of the rest gets a process of its own.
        for source in list(left.values()):
            try:
                yield next(_run_pool([source], out, rules, 1, make_eye))[0]
            except BrokenProcessPool:
                outcome = Outcome(source.relative, [], [Dropped(source.relative, 0.0, "file crashed the decoder")])
                _remember(out, source, rules, outcome)
                yield outcome


def _run_pool(
    sources: Sequence[Source], out: Path, rules: ClipRules, count: int, make_eye: EyeFactory
) -> Iterator[tuple[Outcome, str]]:
    # spawn: a forked torch with running threads hangs.
    with ProcessPoolExecutor(count, get_context("spawn"), _start_worker, (make_eye,)) as pool:
        futures = {pool.submit(_work, source, out, rules): source for source in sources}
        try:
            for future in as_completed(futures):
                yield future.result(), futures[future].name
        finally:
            for future in futures:
                future.cancel()


_eye: FaceEye | None = None
"""A worker process's own tracker; the parent process leaves it None."""


def _start_worker(make_eye: EyeFactory) -> None:
    global _eye
    use_one_thread()
    _eye = make_eye()


def _work(source: Source, out: Path, rules: ClipRules) -> Outcome:
    assert _eye is not None
    return prepare_and_remember(source, out, rules, _eye)


def prepare_and_remember(source: Source, out: Path, rules: ClipRules, eye: FaceEye) -> Outcome:
    """One file, with a note of it under `done/` for a later run."""
    records, dropped = prepare_file(source, out, rules, eye)
    outcome = Outcome(source.relative, records, dropped)
    _remember(out, source, rules, outcome)
    return outcome


def _stamp(source: Source, rules: ClipRules) -> dict[str, object]:
    """What must be unchanged for a note to count."""
    stat = source.path.stat()
    return {
        "bytes": stat.st_size,
        "modified_ns": stat.st_mtime_ns,
        "person": source.person,
        "split": source.split,
        "rules": asdict(rules),
    }


def _remember(out: Path, source: Source, rules: ClipRules, outcome: Outcome) -> None:
    note = {
        "stamp": _stamp(source, rules),
        "records": [asdict(r) for r in outcome.records],
        "dropped": [asdict(d) for d in outcome.dropped],
    }
    write_whole(out / "done" / f"{source.name}.json", json.dumps(note).encode())


def remembered(done: Path, source: Source, rules: ClipRules) -> Outcome | None:
    """The outcome of an earlier run, when file and rules are the same and its clips are still there."""
    try:
        note = json.loads((done / f"{source.name}.json").read_text())
        if note["stamp"] != json.loads(json.dumps(_stamp(source, rules))):
            return None
        records = [parse_record(r) for r in note["records"]]
        dropped = [Dropped(**d) for d in note["dropped"]]
    except (OSError, ValueError, KeyError, TypeError, ClipFormatError):
        return None
    out = done.parent
    files: Iterable[Path] = (out / f"{r.name}{suffix}" for r in records for suffix in (".mp4", ".safetensors"))
    return Outcome(source.relative, records, dropped) if all(f.is_file() for f in files) else None


def _kind(reason: str) -> str:
    """A reason without its particulars, for counting."""
    return reason.split(":")[0].split("(")[0].split(" is ")[0].split(" in ")[0].strip()
