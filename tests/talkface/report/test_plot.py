"""Axes of the page's plots: marks written out, inside the picture, around the values."""

from __future__ import annotations

import re

import pytest

from talkface.report.plot import WIDTH_PX, plot_svg, round_step, spell
from talkface.report.report import thin


def _texts(svg: str) -> list[tuple[float, str, str]]:
    """(x, anchor, text)."""
    found = re.findall(r'<text x="([-\d.]+)" y="[-\d.]+" text-anchor="(\w+)">([^<]*)</text>', svg)
    return [(float(x), anchor, text) for x, anchor, text in found]


@pytest.mark.parametrize("largest", [0.0, 0.004, 0.7, 9.0, 37.0, 999.0, 1053.0, 5000.0, 48_213.0, 7.3e6])
@pytest.mark.parametrize("lowest", [0.0, -40.0])
def test_labels_are_written_out_and_inside(largest: float, lowest: float) -> None:
    svg = plot_svg(thin([0.0, 4.0, 10.0], [lowest, largest, largest / 2]))
    for x, anchor, text in _texts(svg):
        assert "e" not in text.lower(), text
        width = 6.2 * len(text)
        left = x - width if anchor == "end" else x - width / 2
        assert left >= 0
        assert left + width <= WIDTH_PX
    (points,) = re.findall(r'points="([^"]+)"', svg)
    xs, ys = zip(*(map(float, point.split(",")) for point in points.split()), strict=True)
    assert 0 < min(xs) < max(xs) < WIDTH_PX
    heights = [float(y) for y in re.findall(r'<line [^>]*y1="([\d.]+)"', svg)]
    assert min(heights) - 0.1 <= min(ys) <= max(ys) <= max(heights) + 0.1


def test_a_gigabyte_of_memory_has_round_marks() -> None:
    svg = plot_svg(thin([0.0, 60.0, 900.0], [880.0, 1053.0, 1040.0]))
    texts = [text for _, _, text in _texts(svg)]
    assert texts[:4] == ["0", "500", "1 000", "1 500"]
    assert texts[4:] == ["0 min", "5 min", "10 min", "15 min"]


@pytest.mark.parametrize(
    ("value", "step", "text"),
    [(1053, 1, "1 053"), (1_234_567, 1, "1 234 567"), (0.25, 0.25, "0.25"), (-500, 250, "-500"), (2.5, 2.5, "2.5")],
)
def test_numbers_in_full(value: float, step: float, text: str) -> None:
    assert spell(value, step) == text


@pytest.mark.parametrize(("at_least", "step"), [(0.0, 1), (263, 500), (200, 200), (0.021, 0.025), (6, 10)])
def test_steps_are_round(at_least: float, step: float) -> None:
    assert round_step(at_least) == pytest.approx(step)
