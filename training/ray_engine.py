"""Preparing on many machines with Ray: every file is a task; the output folder must be shared between them.

On one machine Ray starts workers itself; with an address it joins a cluster. Drops, notes and resuming are those of
training/prepare.py: only who runs `prepare_and_remember` differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from training.prepare import (
    EyeFactory,
    Outcome,
    PrepareOptions,
    PrepareReport,
    finish,
    prepare_and_remember,
    remembered,
)
from training.prepare_file import ClipRules, Dropped, TrackingEye, use_one_thread
from training.prepare_sources import PrepareError, Source, find_sources


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


def _run(
    ray: object, sources: Sequence[Source], out: Path, rules: ClipRules, make_eye: EyeFactory
) -> Iterator[Outcome]:
    """One actor per CPU, each with its own networks; a file that kills its actor is dropped, the actor comes back."""
    from ray.util import ActorPool

    class Worker:
        def __init__(self) -> None:
            use_one_thread()
            self._eye = make_eye()

        def work(self, source: Source) -> Outcome:
            return prepare_and_remember(source, out, rules, self._eye)

    remote = ray.remote(num_cpus=1, max_restarts=-1)(Worker)  # type: ignore[attr-defined]
    count = max(1, min(len(sources), int(ray.cluster_resources().get("CPU", 1))))  # type: ignore[attr-defined]
    pool = ActorPool([remote.remote() for _ in range(count)])

    def submit(actor: object, source: Source) -> object:
        return actor.work.remote(source)  # type: ignore[attr-defined]

    waiting = list(sources)
    for source in waiting:
        pool.submit(submit, source)
    while pool.has_next():
        try:
            yield pool.get_next_unordered()
        except ray.exceptions.RayActorError as error:  # type: ignore[attr-defined]
            yield Outcome("unknown", [], [Dropped("unknown", 0.0, f"a worker died: {type(error).__name__}; repeat")])
