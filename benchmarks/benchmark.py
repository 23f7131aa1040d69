"""What a subject is: a name, a heading, and a function from settings to outcomes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from benchmarks.measurement import Outcome

CALLS_PER_TURN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How much is measured, and on what."""

    weights: tuple[str, ...] = ("default", "general")
    """Face models to draw with; subjects that need one take the first."""
    samples: int = 100
    """Of each thing that a process can do many times: frames, packets, style blocks."""
    starts: int = 5
    """Of a process."""
    call_s: float = 12.0
    """Length of a call."""

    @property
    def rounds(self) -> int:
        return max(1, self.samples // CALLS_PER_TURN)


QUICK = Settings(samples=10, starts=1, call_s=4.0)
"""To see that everything runs; the numbers are rough."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One subject."""

    name: str
    """For `--only` and the JSON."""
    title: str
    """Heading of its table."""
    run: Callable[[Settings], Iterable[Outcome]]
    """Yields what it finds as it finds it; what it raises ends this subject only, and becomes the reason why."""
