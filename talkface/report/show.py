"""Where a finished report goes: file, page, terminal."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from receiver.sinks.recording import Recording
from talkface.outputs import Delivery
from talkface.report.report import Report
from talkface.terminal import TerminalConsole


def show_report(
    report: Report,
    path: Path | None,
    html: Path | None = None,
    recording: Recording | None = None,
    *,
    problem: str = "",
) -> None:
    """Print the table, then write the report where asked, and say which files there are now.

    Args:
        recording: of the call; the page's still is taken from it.
        problem: what went wrong in the call.

    Raises:
        UserError: a file could not be written (what can be handed over is), or there was a problem.
    """
    from talkface.report.html import write_page
    from talkface.report.still import read_still
    from talkface.report.terminal import print_report

    console = TerminalConsole()
    delivery = Delivery()
    delivery.attempt("the table", lambda: print_report(report, console))
    written: list[str] = []
    still = None
    if recording is not None and recording.seconds and Path(recording.path).is_file():
        written.append(recording.path)
        still = read_still(Path(recording.path)) if html is not None else None
    if path is not None and delivery.attempt(str(path), lambda: report.write(path)):
        written.append(str(path))
    if html is not None and delivery.attempt(str(html), lambda: write_page(report, html, still)):
        written.append(str(html))
    said = "\n".join(f"wrote {file}" for file in written)
    if said:
        delivery.attempt("the terminal", lambda: console.print(said))
    delivery.add_problem(problem)
    delivery.finish()


def typed_command() -> str:
    """What the user typed, for the report."""
    return shlex.join(["talkface", *sys.argv[1:]])
