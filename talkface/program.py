"""How a program of ours ends: what the user got wrong as one line and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable

from talkface.errors import UserError
from talkface.terminal import open_terminal, warn

EXIT_ERROR = 1
EXIT_INTERRUPTED = 130
ERROR_PREFIX = "talkface: "
"""Starts the line; a parent process knows its child's last words by it."""


def run_to_exit(work: Callable[[], object]) -> None:
    """Do `work`; exit with a code when it could not be done."""
    open_terminal()
    try:
        work()
    except UserError as error:
        # Indented, a further line cannot pass for one of ours.
        warn(f"{ERROR_PREFIX}{error}".replace("\n", "\n    "))
        sys.exit(EXIT_ERROR)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
