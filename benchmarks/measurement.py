"""What came out of measuring one thing, in one form for all subjects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

SIGNIFICANT_DIGITS = 4
"""More than any of these numbers repeats."""


class Unit(StrEnum):
    """Of the numbers of a measurement."""

    SECONDS = "s"
    MILLISECONDS = "ms"
    MICROSECONDS = "µs"
    MEGABYTES = "MB"
    """2^20 bytes, as in reports."""
    DECIBELS = "dB"
    PACKETS_PER_SECOND = "packets/s"

    @property
    def more_is_better(self) -> bool:
        return self in (Unit.DECIBELS, Unit.PACKETS_PER_SECOND)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One row: the same name and parameters mean the same thing on every machine and in every version."""

    name: str
    parameters: dict[str, str]
    unit: Unit
    median: float
    p95: float
    """95 % of the samples were no worse."""
    count: int
    """Samples; those of warming up are not among them."""
    ratio: float | None = None
    """Its time over that of the first measurement it took turns with; None: it was not compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """What could not be measured here."""

    name: str
    reason: str


Outcome = Measurement | Skip


def measured(
    name: str,
    values: Sequence[float],
    unit: Unit,
    parameters: Mapping[str, object] | None = None,
    *,
    ratio: float | None = None,
) -> Measurement:
    """The measurement of these samples.

    Raises:
        ValueError: there are none.
    """
    if not len(values):
        raise ValueError(f"{name}: no samples")
    median, p95 = np.percentile(values, [50, 5 if unit.more_is_better else 95])
    return Measurement(
        name=name,
        parameters={key: str(value) for key, value in (parameters or {}).items()},
        unit=unit,
        median=_rounded(float(median)),
        p95=_rounded(float(p95)),
        count=len(values),
        ratio=None if ratio is None else _rounded(ratio),
    )


def _rounded(value: float) -> float:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")
