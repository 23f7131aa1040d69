"""Preparing on many machines with Ray: every file is a task; the output folder must be shared between them.

On one machine Ray starts workers itself; with an address it joins a cluster. Drops, notes and resuming are those of
training/prepare/run.py: only who runs `prepare_and_remember` differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from training.prepare.face_eye import TrackingEye
from training.prepare.file import ClipRules, Dropped, use_one_thread
from training.prepare.run import (
    EyeFactory,
    Outcome,
    PrepareOptions,
    PrepareReport,
    finish,
    prepare_and_remember,
    remembered,
)
from training.prepare.sources import PrepareError, Source, find_sources


def prepare_with_ray(
    options: PrepareOptions,
    *,
    address: str | None = None,
    log: Callable[[str], None] = print,
    make_eye: EyeFactory = TrackingEye,
) -> PrepareReport:
    """As `prepare`, over Ray's workers.

    Args:
        address: of a running cluster ("auto" or HOST:PORT); None starts `options.workers` workers here.

    Raises:
        PrepareError: Ray is not installed or the cluster does not answer, or as `prepare`.
    """
    try:
        import ray
    except ImportError:
        raise PrepareError("the ray engine needs ray: pip install 'talkface[train]'") from None
    sources = find_sources(options.source, split=options.split, use=options.use, each_own=options.each_own)
    (options.out / "done").mkdir(parents=True, exist_ok=True)
    rules = options.clip_rules()
    known = {s.name: remembered(options.out / "done", s, rules) for s in sources}
    outcomes = [o for o in known.values() if o is not None]
    waiting = [s for s in sources if known[s.name] is None]
    if outcomes:
        log(f"{len(outcomes)} of {len(sources)} files were done before")
    try:
        if address is None:
            ray.init(num_cpus=options.workers or None, include_dashboard=False, log_to_driver=False)
        else:
            ray.init(address=address, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise PrepareError(f"ray cannot start ({error}); check --ray-address") from error
    try:
        for number, outcome in enumerate(_run(ray, waiting, options.out, rules, make_eye), 1):
            outcomes.append(outcome)
            reasons = "".join(f"; dropped {d.start_s:.1f} s: {d.reason}" for d in outcome.dropped)
            log(f"[{number}/{len(waiting)}] {outcome.source}: {len(outcome.records)} clips{reasons}")
    finally:
        ray.shutdown()
    return finish(options.out, outcomes, log)


def _run(ray: Any, sources: Sequence[Source], out: Path, rules: ClipRules, make_eye: EyeFactory) -> Iterator[Outcome]:
    """One actor per CPU, each with its own networks; a file that kills its actor is dropped and the actor replaced."""

    class Worker:
        def __init__(self) -> None:
            use_one_thread()
            self._eye = make_eye()

        def ready(self) -> bool:
            return True

        def work(self, source: Source) -> Outcome:
            return prepare_and_remember(source, out, rules, self._eye)

    remote = ray.remote(num_cpus=1)(Worker)
    count = max(1, min(len(sources), int(ray.cluster_resources().get("CPU", 1))))
    idle = [remote.remote() for _ in range(count)] if sources else []
    try:
        # A worker that cannot start would otherwise take every file with it.
        ray.get([actor.ready.remote() for actor in idle])
    except ray.exceptions.RayError as error:
        raise PrepareError(f"a ray worker cannot start: {str(error).strip().splitlines()[-1]}") from error
    waiting = list(sources)
    running: dict[Any, tuple[Source, Any]] = {}
    while waiting or running:
        while idle and waiting:
            source, actor = waiting.pop(0), idle.pop()
            running[actor.work.remote(source)] = (source, actor)
        (finished,), _ = ray.wait(list(running), num_returns=1)
        source, actor = running.pop(finished)
        try:
            yield ray.get(finished)
        except ray.exceptions.RayActorError:
            actor = remote.remote()
            yield Outcome(source.relative, [], [Dropped(source.relative, 0.0, "file crashed its worker")])
        idle.append(actor)
