"""`python -m benchmarks`: measure, write the numbers down.

A run of everything with the defaults (`make bench`) writes benchmarks/performance.json and docs/performance.md. Any
other run prints its JSON on standard output, or writes what it is told to. Progress goes to standard error.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.benchmark import QUICK, Settings
from benchmarks.performance import ROOT
from benchmarks.registry import BENCHMARKS, UnknownBenchmarkError, chosen
from benchmarks.run import run_benchmarks
from benchmarks.table import MarkersMissingError, check_page, with_numbers
from talkface.program import run_to_exit
from talkface_core.output_path import OutputPathError, check_output_file
from talkface_core.whole_file import write_whole

JSON_PATH = ROOT / "benchmarks/performance.json"
TABLE_PATH = ROOT / "docs/performance.md"


def main(arguments: Sequence[str] | None = None) -> None:
    """Exits with 1 when a subject crashed, 2 when the command line makes no sense."""
    parser = _parser()
    options = parser.parse_args(arguments)
    settings = QUICK if options.quick else Settings()
    if options.weights is not None:
        settings = replace(settings, weights=tuple(options.weights.split(",")))
    if options.samples is not None:
        if options.samples < 1:
            parser.error("--samples must be at least 1")
        settings = replace(settings, samples=options.samples)
    is_whole = options.only is None and settings == Settings()
    json_path, table_path = options.json, options.table
    if is_whole and json_path is None and table_path is None:
        json_path, table_path = JSON_PATH, TABLE_PATH
    try:
        benchmarks = chosen(None if options.only is None else options.only.split(","))
        for path in filter(None, (json_path, table_path)):
            check_output_file(path)
        if table_path is not None:
            check_page(table_path)
    except (UnknownBenchmarkError, MarkersMissingError, OutputPathError, OSError) as error:
        parser.error(str(error))
    run = run_benchmarks(benchmarks, settings, say=lambda line: print(line, file=sys.stderr, flush=True))
    text = run.performance.to_json()
    if json_path is not None:
        json_path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(json_path, text.encode())
    else:
        print(text, end="")
    if table_path is not None:
        write_whole(table_path, with_numbers(table_path.read_text(), run.performance).encode())
    if run.crashed:
        sys.exit(f"benchmarks: {', '.join(run.crashed)} crashed; the errors are above")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ", ".join(benchmark.name for benchmark in BENCHMARKS)
    parser.add_argument("--only", metavar="NAMES", help=f"some subjects, with commas between: {names}")
    parser.add_argument("--quick", action="store_true", help="few samples: to see that everything runs")
    parser.add_argument(
        "--weights",
        metavar="NAMES",
        help="face models, with commas between: default, general, tiny, random256 (the default size with random "
        "weights; drawing only) or a weights folder",
    )
    parser.add_argument("--samples", type=int, help="of each thing that is done many times")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the numbers here")
    parser.add_argument("--table", type=Path, metavar="PATH", help="put the tables between the markers of this page")
    return parser


if __name__ == "__main__":
    run_to_exit(main)
