"""Seconds from the start of `talkface receive` until it has drawn its first frames and waits for the other end.

Real processes, one after the other. That is the interpreter, the imports, the weights, the graph of OpenVINO (converted
anew, or from the cache that the start before has filled), compiling it, and the frames that warm the renderer up. What
comes after depends on the other end; `call.py` measures it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.benchmark import Benchmark, Settings
from benchmarks.measurement import Outcome, Skip, Unit, measured
from benchmarks.timer import Case, take_turns
from talkface.errors import UserError
from talkface.progress import STATE_TEXTS

ROOT = Path(__file__).resolve().parents[2]
NOBODY = "ws://127.0.0.1:9"
"""A signalling server that is not there: nobody is met."""
WAYS = (("openvino", "from the cache"), ("openvino", "converted anew"), ("torch-cpu", "none"))
"""Runtime and where its graph comes from."""


def run(settings: Settings) -> Iterator[Outcome]:
    """All ways in turns, after one start of each that fills the caches."""
    weights = settings.weights[0]
    cases: list[Case] = []
    found: list[dict[str, str]] = []
    with ExitStack() as stack:
        kept = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="talkface-")))
        for runtime, graph in WAYS:
            sample = _sample(weights, runtime, kept if graph == "from the cache" else None)
            try:
                sample()
            except UserError as error:
                yield Skip(name=f"{runtime}, graph {graph}", reason=str(error))
                continue
            cases.append(Case(sample))
            found.append({"weights": weights, "runtime": runtime, "graph": graph})
        timings = take_turns(cases, rounds=settings.starts, calls=1, warm_up=0)
    for parameters, timing in zip(found, timings, strict=True):
        yield measured("start to first frame", timing.samples, Unit.SECONDS, parameters, ratio=timing.ratio)


def _sample(weights: str, runtime: str, cache: Path | None) -> Callable[[], float]:
    def sample() -> float:
        if cache is not None:
            return seconds_to_first_frame(weights, runtime, cache)
        with tempfile.TemporaryDirectory(prefix="talkface-") as fresh:
            return seconds_to_first_frame(weights, runtime, Path(fresh))

    return sample


def seconds_to_first_frame(weights: str, runtime: str, cache: Path) -> float:
    """Start the receiving side, wait until it is ready, and end it.

    Args:
        cache: where the process keeps graphs and identities.

    Raises:
        UserError: it ended before it was ready; the message is its own.
    """
    command = [sys.executable, "-m", "talkface", "receive", "--signal", NOBODY, "--room", "benchmark"]
    command += ["--weights", weights, "--runtime", runtime]
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "TALKFACE_SECRET": "nobody knows", "PYTHONPATH": paths}
    said: deque[str] = deque(maxlen=20)
    start_ns = time.perf_counter_ns()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if STATE_TEXTS["waiting"] in line:
                    return (time.perf_counter_ns() - start_ns) / 1e9
                said.append(line.strip())
        finally:
            process.kill()
    raise UserError(f"talkface receive ended before it was ready: {' / '.join(said)}")


BENCHMARK = Benchmark("startup", "Start of the receiving side", run)
