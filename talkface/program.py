"""How a program of ours speaks and ends: line by line, and what the user got wrong as one line and an exit code."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

from talkface.errors import UserError

EXIT_ERROR = 1
EXIT_INTERRUPTED = 130
ERROR_PREFIX = "talkface: "
"""Starts the line; a parent process knows its child's last words by it."""


def run_to_exit(work: Callable[[], object]) -> None:
    """Do `work`; exit with a code when it could not be done."""
    _write_line_by_line()
    try:
        work()
    except UserError as error:
        print(f"{ERROR_PREFIX}{error}", file=sys.stderr)
        sys.exit(EXIT_ERROR)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


def _write_line_by_line() -> None:
    """Python keeps what goes to a file or a pipe until there are 8 kB: a log would show nothing for minutes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)
