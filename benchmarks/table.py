"""The numbers of a run as Markdown, put between two markers of a page that is otherwise written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.measurement import Measurement
from benchmarks.performance import Performance, SubjectResult

BEGIN = "<!-- numbers: written by `make bench` from benchmarks/performance.json -->"
END = "<!-- end of numbers -->"


class MarkersMissingError(ValueError):
    """A page has no place for the numbers; the message names both markers."""


def numbers(performance: Performance) -> str:
    """Machine and tables, without the markers."""
    return "\n\n".join([_machine(performance), *(_subject(subject) for subject in performance.subjects)])


def with_numbers(page: str, performance: Performance) -> str:
    """The page with the numbers of this run instead of those it had.

    Raises:
        MarkersMissingError: there is no place for them.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise MarkersMissingError(f"the page needs the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{numbers(performance)}\n\n{END}{after}"


def check_page(path: Path) -> None:
    """Raise before anything is measured.

    Raises:
        OSError: it cannot be read.
        MarkersMissingError: there is no place for the numbers.
    """
    page = path.read_text()
    if END not in page.partition(BEGIN)[2]:
        raise MarkersMissingError(f"{path} needs the lines {BEGIN} and {END}")


def _machine(performance: Performance) -> str:
    machine = performance.machine
    parts = [
        f"{performance.date[:10]}, commit {performance.commit or 'unknown'}",
        f"{machine.cpu}, {machine.cores} cores for this process, {machine.memory_gb:g} GB, {machine.os}",
        f"instruction sets: {', '.join(machine.instruction_sets) or 'unknown'}"
        f"; fast in OpenVINO: {', '.join(machine.openvino_types) or 'unknown'}; GPU: {machine.gpu or 'none'}",
        ", ".join(f"{name} {version}" for name, version in machine.versions.items()),
    ]
    if machine.load is not None:
        parts.append(f"{machine.load:g} processes ran or waited in the minute before")
    return "\n".join(f"* {part}" for part in parts)


def _subject(subject: SubjectResult) -> str:
    parts = [f"### {subject.title}"]
    if subject.measurements:
        parts.append(_table(subject.measurements))
    if subject.skipped:
        parts.append("\n".join(f"* not here: {skip.name} ({skip.reason})" for skip in subject.skipped))
    return "\n\n".join(parts)


def _table(rows: Sequence[Measurement]) -> str:
    """A column for each parameter that any row has; the ratio only where something was compared."""
    keys = list(dict.fromkeys(key for row in rows for key in row.parameters))
    is_compared = any(row.ratio is not None for row in rows)
    head = ["", *keys, "median", "95 %", *(["ratio"] if is_compared else []), "samples"]
    lines = [head, ["---"] * (1 + len(keys)) + ["---:"] * (len(head) - 1 - len(keys))]
    for row in rows:
        cells = [row.name, *(row.parameters.get(key, "") for key in keys)]
        cells += [f"{number(row.median)} {row.unit}", f"{number(row.p95)} {row.unit}"]
        if is_compared:
            cells.append("" if row.ratio is None else f"{row.ratio:.2f}")
        lines.append([*cells, str(row.count)])
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def number(value: float) -> str:
    """Three significant digits, whole numbers from 100 on with spaces between thousands."""
    if abs(value) >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}"
