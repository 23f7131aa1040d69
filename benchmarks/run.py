"""Runs subjects one after the other; what cannot run here is said and left out, the rest goes on."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.benchmark import Benchmark, Settings
from benchmarks.machine import this_machine
from benchmarks.measurement import Measurement, Outcome, Skip
from benchmarks.performance import Performance, SubjectResult, checked_out_commit, now
from benchmarks.table import number
from talkface.errors import UserError
from talkface_core.errors import CoreError

EXPECTED_ERRORS = (CoreError, UserError, OSError)
"""What says in a sentence that something is not to be had on this machine."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a run gave."""

    performance: Performance
    crashed: tuple[str, ...]
    """Subjects that ended with an error nobody expected: a mistake in the program or in the subject."""


def run_benchmarks(
    benchmarks: Sequence[Benchmark], settings: Settings, say: Callable[[str], None] = lambda line: None
) -> Run:
    """Measure these subjects in this order.

    Args:
        say: hears of each result as it comes.
    """
    date, commit, machine = now(), checked_out_commit(), this_machine()
    results, crashed = [], []
    for benchmark in benchmarks:
        say(f"{benchmark.name}: {benchmark.title}")
        start_s = time.monotonic()
        measurements: list[Measurement] = []
        skipped: list[Skip] = []
        try:
            for outcome in benchmark.run(settings):
                say(f"  {described(outcome)}")
                if isinstance(outcome, Measurement):
                    measurements.append(outcome)
                else:
                    skipped.append(outcome)
        except EXPECTED_ERRORS as error:
            skipped.append(Skip(name="the rest" if measurements else "all", reason=str(error)))
            say(f"  {described(skipped[-1])}")
        except Exception as error:  # hours of the others are not lost for it
            crashed.append(benchmark.name)
            skipped.append(Skip(name="crashed", reason=f"{type(error).__name__}: {error}"))
            traceback.print_exc(file=sys.stderr)
        results.append(
            SubjectResult(
                name=benchmark.name,
                title=benchmark.title,
                seconds=round(time.monotonic() - start_s, 1),
                measurements=tuple(measurements),
                skipped=tuple(skipped),
            )
        )
    performance = Performance(date=date, commit=commit, machine=machine, settings=settings, subjects=tuple(results))
    return Run(performance, tuple(crashed))


def described(outcome: Outcome) -> str:
    """One line for a person."""
    if isinstance(outcome, Skip):
        return f"not here: {outcome.name}: {outcome.reason}"
    parameters = ", ".join(f"{key} {value}" for key, value in outcome.parameters.items())
    ratio = "" if outcome.ratio is None else f", {outcome.ratio:.2f} of the first"
    return f"{outcome.name} ({parameters}): {number(outcome.median)} {outcome.unit}, 95 % {number(outcome.p95)}{ratio}"
