"""The main function of a child process whose options are in a file; `talkface/child/process.py` starts it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from talkface.child.options_file import read_options
from talkface.program import run_to_exit

T = TypeVar("T")


def child_main(kind: type[T], work: Callable[[T], object]) -> None:
    """Read options of `kind` from the file that the command line names, do `work` with them, and exit."""
    (path,) = sys.argv[1:]
    run_to_exit(lambda: work(read_options(Path(path), kind)))
