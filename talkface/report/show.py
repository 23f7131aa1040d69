"""Where a finished report goes: file, page, terminal."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from rich.console import Console

from talkface.report.report import Report


def show_report(report: Report, path: Path | None, html: Path | None = None, recording: Path | None = None) -> None:
    """Write the report where asked, print the table, and say which files there are now.

    Args:
        recording: the MP4 of the call; the page's still is taken from it.
    """
    from talkface.report.html import write_page
    from talkface.report.still import read_still
    from talkface.report.terminal import print_report

    console = Console()
    written = []
    if recording is not None and recording.exists():
        written.append(recording)
    if path is not None:
        report.write(path)
        written.append(path)
    if html is not None:
        write_page(report, html, read_still(recording) if recording in written and recording is not None else None)
        written.append(html)
    print_report(report, console)
    for file in written:
        console.print(f"wrote {file}", markup=False, highlight=False)


def typed_command() -> str:
    """What the user typed, for the report."""
    return shlex.join(["talkface", *sys.argv[1:]])
