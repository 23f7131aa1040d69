"""What the programs of this package are told to write, checked when the command line is read: types for argparse."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from talkface_core.output_path import OutputPathError, check_output_file, check_output_folder


def output_file(text: str) -> Path:
    """A file that can be written."""
    return _checked(text, check_output_file)


def output_folder(text: str) -> Path:
    """A folder that files can be written in; it may be missing."""
    return _checked(text, check_output_folder)


def _checked(text: str, check: Callable[[Path], None]) -> Path:
    path = Path(text).expanduser()
    try:
        check(path)
    except OutputPathError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return path
