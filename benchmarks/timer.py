"""Times calls: warm-up is left out, and what is compared takes turns.

    round 1: A A A  B B B     round 2: B B B  A A A     round 3: A A A  B B B ...

Other work on a machine comes and goes over seconds. Of two things measured one after the other it may hit one only; in
turns it hits both, and their ratio within a round changes little. Turns of several calls, because a thing that has just
taken over finds the caches full of the other's data: the calls that warm up at the start of each turn are not counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median


def _nothing() -> None:
    """What most cases need before a turn."""


@dataclass(frozen=True, slots=True)
class Case:
    """One of several things that are compared."""

    sample: Callable[[], float]
    """Does it once and returns how long that took, in any unit that all cases share."""
    before_turn: Callable[[], object] = _nothing
    """Run at the start of each turn, outside the time."""


@dataclass(frozen=True, slots=True)
class Timing:
    """What was sampled of one case."""

    samples: tuple[float, ...]
    ratio: float
    """Median over the rounds of (median of its turn / median of the first case's turn)."""


def timed_ms(call: Callable[[], object], clock_ns: Callable[[], int] = time.perf_counter_ns) -> Callable[[], float]:
    """A sample of `call`: milliseconds until it returns."""

    def sample() -> float:
        start_ns = clock_ns()
        call()
        return (clock_ns() - start_ns) / 1e6

    return sample


def take_turns(cases: Sequence[Case], *, rounds: int, calls: int, warm_up: int = 1) -> list[Timing]:
    """Sample each case `rounds * calls` times, in turns; every other round goes backwards.

    Args:
        warm_up: calls at the start of each turn that are not counted.
    """
    turns: list[list[list[float]]] = [[] for _ in cases]
    for number in range(rounds):
        order = range(len(cases)) if number % 2 == 0 else range(len(cases) - 1, -1, -1)
        for index in order:
            cases[index].before_turn()
            for _ in range(warm_up):
                cases[index].sample()
            turns[index].append([cases[index].sample() for _ in range(calls)])
    medians = [[median(turn) for turn in own] for own in turns]
    return [
        Timing(
            samples=tuple(value for turn in own for value in turn),
            ratio=median(mine / first for mine, first in zip(medians[index], medians[0], strict=True)),
        )
        for index, own in enumerate(turns)
    ]
