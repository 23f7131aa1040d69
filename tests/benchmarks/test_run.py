"""A run goes on when a subject cannot run here, and says why."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from benchmarks.benchmark import QUICK, Benchmark, Settings
from benchmarks.measurement import Outcome, Unit, measured
from benchmarks.run import run_benchmarks
from talkface_core.errors import RuntimeUnavailableError


def subject(name: str, *, then: Callable[[], None] = lambda: None) -> Benchmark:
    def run(settings: Settings) -> Iterator[Outcome]:
        yield measured("before", [float(settings.samples)], Unit.SECONDS)
        then()
        yield measured("after", [2.0], Unit.SECONDS)

    return Benchmark(name, name.upper(), run)


def unavailable() -> None:
    raise RuntimeUnavailableError("no CUDA device")


def broken() -> None:
    raise KeyError("oops")


def test_the_others_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    benchmarks = [subject("lacking", then=unavailable), subject("broken", then=broken), subject("fine")]
    run = run_benchmarks(benchmarks, QUICK, said.append)
    lacking, crashed, fine = run.performance.subjects
    assert [found.name for found in lacking.measurements] == ["before"]
    assert [(skip.name, skip.reason) for skip in lacking.skipped] == [("the rest", "no CUDA device")]
    assert [skip.reason for skip in crashed.skipped] == ["KeyError: 'oops'"]
    assert [(found.name, found.median) for found in fine.measurements] == [("before", 10.0), ("after", 2.0)]
    assert run.crashed == ("broken",)
    assert "KeyError" in capsys.readouterr().err
    assert "  not here: the rest: no CUDA device" in said
    assert run.performance.settings == QUICK
