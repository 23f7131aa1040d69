"""Tables as Markdown, between the markers of a page."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.performance import Performance
from benchmarks.table import BEGIN, END, MarkersMissingError, check_page, number, numbers, with_numbers


def test_a_row_for_each_measurement(performance: Performance) -> None:
    lines = numbers(performance).splitlines()
    assert "|  | runtime | threads | median | 95 % | ratio | samples |" in lines
    assert "| one frame | torch | 1 | 85 ms | 89.5 ms | 1.00 | 2 |" in lines
    assert "| likeness | openvino |  | 54 dB | 54 dB |  | 1 |" in lines
    assert "* not here: torch-cuda (no CUDA device)" in lines


def test_no_column_for_ratios_where_nothing_was_compared(performance: Performance) -> None:
    assert "|  | median | 95 % | samples |" in numbers(performance).splitlines()
    assert "| in and out | 123 500 packets/s | 123 500 packets/s | 1 |" in numbers(performance).splitlines()


def test_the_machine_is_named(performance: Performance) -> None:
    text = numbers(performance)
    for part in ("2026-01-02", "abc1234", "Some CPU, 2 cores", "AVX2", "GPU: none", "torch 2.11.0", "0.25 processes"):
        assert part in text


def test_only_what_lies_between_the_markers_changes(performance: Performance) -> None:
    page = f"# By hand\n\n{BEGIN}\nold numbers\n{END}\n\nMore by hand.\n"
    new = with_numbers(page, performance)
    assert new == f"# By hand\n\n{BEGIN}\n\n{numbers(performance)}\n\n{END}\n\nMore by hand.\n"
    assert with_numbers(new, performance) == new


@pytest.mark.parametrize("page", ["", BEGIN, f"{END}\n{BEGIN}"])
def test_a_page_without_place_is_refused(performance: Performance, tmp_path: Path, page: str) -> None:
    with pytest.raises(MarkersMissingError):
        with_numbers(page, performance)
    path = tmp_path / "page.md"
    path.write_text(page)
    with pytest.raises(MarkersMissingError, match=r"page\.md needs the lines"):
        check_page(path)


@pytest.mark.parametrize(
    ("value", "text"), [(0.123456, "0.123"), (99.94, "99.9"), (123.4, "123"), (43_100.4, "43 100"), (0.0, "0")]
)
def test_numbers_have_the_digits_that_mean_something(value: float, text: str) -> None:
    assert number(value) == text
