"""All subjects, in the order in which a reader wants them."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.benchmark import Benchmark
from benchmarks.subjects import call, drawing, jitter_buffer, live_style, opus, startup, style_codec

BENCHMARKS: tuple[Benchmark, ...] = (
    drawing.BENCHMARK,
    startup.BENCHMARK,
    call.BENCHMARK,
    live_style.BENCHMARK,
    style_codec.BENCHMARK,
    opus.BENCHMARK,
    jitter_buffer.BENCHMARK,
)


class UnknownBenchmarkError(ValueError):
    """There is no subject of that name; the message lists those there are."""


def chosen(names: Sequence[str] | None) -> tuple[Benchmark, ...]:
    """The subjects of these names in the registry's order; None: all.

    Raises:
        UnknownBenchmarkError: one is not registered.
    """
    if names is None:
        return BENCHMARKS
    known = [benchmark.name for benchmark in BENCHMARKS]
    for name in names:
        if name not in known:
            raise UnknownBenchmarkError(f"benchmark {name!r} is unknown; choose from {', '.join(known)}")
    return tuple(benchmark for benchmark in BENCHMARKS if benchmark.name in names)
