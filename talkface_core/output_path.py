"""Whether something can be written at a path, found out before hours of work depend on it.

A folder that is missing is no problem: whoever writes makes it. Nothing is left behind by asking. `output_file` and
`output_folder` are types for argparse, which check when the command line is read.
"""

from __future__ import annotations

import argparse
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

from talkface_core.errors import CoreError
from talkface_core.whole_file import is_special, resolved


class OutputPathError(CoreError):
    """Nothing can be written at a path; the message names path and reason. Another path helps."""


def check_output_file(path: Path, *, needs_seek: bool = False) -> None:
    """Make sure that a file can be written at `path`, in place of the one that may be there.

    Args:
        needs_seek: the file is written back and forth, so that a pipe does not do.

    Raises:
        OutputPathError: it cannot.
    """
    _check_name(path)
    target = resolved(path)
    if target.is_dir():
        raise OutputPathError(f"{path} is a folder, and a file is wanted: name a file in it")
    if is_special(path):
        if needs_seek and not stat.S_ISCHR(path.stat().st_mode):
            raise OutputPathError(f"{path} is a pipe or a socket, and this needs a file")
        return
    if target.exists() and not os.access(target, os.W_OK):
        raise OutputPathError(f"{path} is write-protected")
    _check_folder_takes_files(target.parent, path)


def check_output_folder(path: Path) -> None:
    """Make sure that files can be written in the folder `path`, which may be missing.

    Raises:
        OutputPathError: they cannot.
    """
    _check_name(path)
    target = resolved(path)
    if target.exists() and not target.is_dir():
        raise OutputPathError(f"{path} is a file, and a folder is wanted: name another")
    _check_folder_takes_files(target, path)


def output_file(text: str) -> Path:
    """Type of an argument that is a file to write."""
    return _argument(text, check_output_file)


def output_folder(text: str) -> Path:
    """Type of an argument that is a folder to write files in."""
    return _argument(text, check_output_folder)


def is_same_place(a: Path, b: Path) -> bool:
    """True when both paths lead to the same file or folder, whatever their names: through links, or hard links."""
    try:
        return os.path.samefile(a, b)
    except OSError:  # one of them does not exist
        return os.path.normcase(resolved(a)) == os.path.normcase(resolved(b))


def _check_name(path: Path) -> None:
    try:
        path.lstat()
    except OSError as error:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise OutputPathError(f"{path} cannot be written: {error.strerror}") from error
    except ValueError as error:  # a zero byte
        raise OutputPathError(f"{str(path)!r} is no path: {error}") from error


def _check_folder_takes_files(folder: Path, path: Path) -> None:
    """Try the nearest folder that exists: a file without a name is made there and is gone at once."""
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise OutputPathError(f"{path} cannot be written: {folder} is a file and no folder")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputPathError(f"{path} cannot be written: nothing can be made in {folder} ({reason})") from error


def _argument(text: str, check: Callable[[Path], None]) -> Path:
    path = Path(text).expanduser()
    try:
        check(path)
    except OutputPathError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return path
