"""One measured value over the time of a call, as SVG that needs nothing from outside.

Axes have round marks that are written out: 1 250, not 1.25e+03. The margin on the left is as wide as its labels.
"""

from __future__ import annotations

import math

from talkface.report.report import Series

WIDTH_PX, HEIGHT_PX = 420, 170
_MARGIN_TOP_PX, _MARGIN_BOTTOM_PX, _MARGIN_RIGHT_PX = 10, 22, 22
_CHARACTER_PX = 6.6
"""Width of a digit at the page's 11 px, with something to spare."""
_VALUE_MARKS, _TIME_MARKS = 4, 6
_MINUTES_FROM_S = 300.0


def plot_svg(series: Series, title: str = "") -> str:
    """A line over time; `title` is for who cannot see it, and must be escaped already."""
    low, high = min(0.0, *series.values), max(0.0, *series.values)
    step = round_step((high - low) / _VALUE_MARKS)
    bottom, top = math.floor(low / step) * step, math.ceil(high / step) * step or step
    marks = [bottom + index * step for index in range(round((top - bottom) / step) + 1)]
    labels = [spell(mark, step) for mark in marks]
    left = 12 + _CHARACTER_PX * max(map(len, labels))
    end_s = max(series.seconds[-1], 1e-6)

    def x_of(second: float) -> float:
        return left + (WIDTH_PX - _MARGIN_RIGHT_PX - left) * second / end_s

    def y_of(value: float) -> float:
        return _MARGIN_TOP_PX + (HEIGHT_PX - _MARGIN_TOP_PX - _MARGIN_BOTTOM_PX) * (top - value) / (top - bottom)

    parts = []
    for mark, label in zip(marks, labels, strict=True):
        y = y_of(mark)
        width = 1.5 if mark == 0 else 0.7
        line = f'x1="{left:.1f}" x2="{WIDTH_PX - _MARGIN_RIGHT_PX}" y1="{y:.1f}" y2="{y:.1f}"'
        parts.append(f'<line {line} stroke="var(--line)" stroke-width="{width}"/>')
        parts.append(f'<text x="{left - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for second, label in _time_marks(end_s):
        place = f'x="{x_of(second):.1f}" y="{HEIGHT_PX - 6}"'
        parts.append(f'<text {place} text-anchor="middle">{label}</text>')
    points = " ".join(
        f"{x_of(second):.1f},{y_of(value):.1f}" for second, value in zip(series.seconds, series.values, strict=True)
    )
    parts.append(f'<polyline points="{points}" fill="none" stroke="var(--mark)" stroke-width="1.5"/>')
    return f'<svg viewBox="0 0 {WIDTH_PX} {HEIGHT_PX}" role="img" aria-label="{title}">{"".join(parts)}</svg>'


def round_step(at_least: float, factors: tuple[float, ...] = (1.0, 2.0, 2.5, 5.0, 10.0)) -> float:
    """The smallest of the factors times a power of ten that is no less; 1 for nothing at all."""
    if not at_least > 1e-9:
        return 1.0
    power = 10.0 ** math.floor(math.log10(at_least))
    return next(factor * power for factor in factors if factor * power >= at_least * (1 - 1e-9))


def spell(value: float, step: float = 1.0) -> str:
    """A number in full, thousands apart, with the digits that marks `step` apart need: "1 250", "0.25"."""
    digits = next((count for count in range(9) if abs(step * 10**count - round(step * 10**count)) < 1e-6), 9)
    return f"{value + 0.0:,.{digits}f}".replace(",", " ")


def _time_marks(end_s: float) -> list[tuple[float, str]]:
    """(second, label) of a few round times."""
    unit, name = (60.0, "min") if end_s >= _MINUTES_FROM_S else (1.0, "s")
    step = round_step(end_s / unit / _TIME_MARKS, (1.0, 2.0, 5.0, 10.0))
    count = math.floor(end_s / unit / step + 1e-9)
    return [(index * step * unit, f"{spell(index * step, step)} {name}") for index in range(count + 1)]
