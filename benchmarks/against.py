"""Two checkouts compared in one go: `python -m benchmarks.against OTHER [--rounds 3] [--only drawing ...]`.

    round 1: this, other     round 2: other, this     round 3: this, other ...

Each runs its own benchmarks in processes of its own, with the options of `python -m benchmarks` that come last. The
ratio of each row is taken within a round, so that what else the machine does hits both. The table goes to standard
output.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.measurement import Measurement
from benchmarks.performance import ROOT, Performance, performance_from_json
from benchmarks.table import number
from talkface.errors import UserError
from talkface.program import run_to_exit

Row = tuple[str, str, tuple[tuple[str, str], ...]]
"""Subject, name and parameters: what means the same in both."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One row in both checkouts."""

    row: Row
    unit: str
    here: float
    """Median over the rounds of this checkout's median."""
    there: float
    ratios: tuple[float, ...]
    """Number here over number there, of each round."""


def compare(rounds: Sequence[tuple[Performance, Performance]]) -> list[Comparison]:
    """Rows that this checkout (first of each pair) and the other have in every round, in the order of this one."""
    tables = [(_rows(here), _rows(there)) for here, there in rounds]
    common = [row for row in tables[0][0] if all(row in here and row in there for here, there in tables)]
    found = []
    for row in common:
        pairs = [(here[row].median, there[row].median) for here, there in tables]
        ratios = tuple(here / there for here, there in pairs)
        heres, theres = zip(*pairs, strict=True)
        found.append(Comparison(row, tables[0][0][row].unit.value, median(heres), median(theres), ratios))
    return found


def _rows(performance: Performance) -> dict[Row, Measurement]:
    return {
        (subject.name, found.name, tuple(sorted(found.parameters.items()))): found
        for subject in performance.subjects
        for found in subject.measurements
    }


def table(comparisons: Sequence[Comparison]) -> str:
    """As Markdown."""
    lines = ["| subject | | | here | there | ratio | least to most |", "|---|---|---|---:|---:|---:|---:|"]
    for found in comparisons:
        subject, name, parameters = found.row
        spread = f"{min(found.ratios):.2f} to {max(found.ratios):.2f}"
        numbers = f"{number(found.here)} {found.unit} | {number(found.there)} {found.unit}"
        details = ", ".join(f"{key} {value}" for key, value in parameters)
        lines.append(f"| {subject} | {name} | {details} | {numbers} | {median(found.ratios):.2f} | {spread} |")
    return "\n".join(lines)


def measure(checkout: Path, options: Sequence[str]) -> Performance:
    """Run the benchmarks of a checkout in a process.

    Raises:
        UserError: they failed, or speak another version; the message says of which checkout.
    """
    with tempfile.TemporaryDirectory(prefix="talkface-") as folder:
        path = Path(folder) / "performance.json"
        command = [sys.executable, "-m", "benchmarks", *options, "--json", str(path)]
        environment = {**os.environ, "PYTHONPATH": str(checkout)}
        done = subprocess.run(command, cwd=checkout, env=environment, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise UserError(f"the benchmarks of {checkout} failed: {done.stderr.strip()}")
        try:
            return performance_from_json(path.read_text())
        except ValueError as error:
            raise UserError(f"the benchmarks of {checkout} speak another version: {error}") from error


def main(arguments: Sequence[str] | None = None) -> None:
    """Exits with 1 when they cannot be compared."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.against", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("other", type=Path, help="the other checkout")
    parser.add_argument("--rounds", type=int, default=3, help="in which each has its turn (default 3)")
    own, options = parser.parse_known_args(arguments)
    if own.rounds < 1:
        parser.error("--rounds must be at least 1")
    run_to_exit(lambda: _compare_checkouts(own.other.resolve(), own.rounds, options))


def _compare_checkouts(other: Path, num_rounds: int, options: Sequence[str]) -> None:
    if not (other / "benchmarks/__main__.py").is_file():
        raise UserError(f"{other} holds no benchmarks", "name a checkout of this project that has benchmarks/")
    rounds = []
    for index in range(num_rounds):
        print(f"round {index + 1} of {num_rounds}", file=sys.stderr, flush=True)
        if index % 2 == 0:
            here, there = measure(ROOT, options), measure(other, options)
        else:
            there, here = measure(other, options), measure(ROOT, options)
        rounds.append((here, there))
    comparisons = compare(rounds)
    if not comparisons:
        raise UserError("the two checkouts have no row in common", "choose others with --only")
    print(table(comparisons))


if __name__ == "__main__":
    main()
