"""What can be read as an input: a file, in places a folder. A pipe cannot, and would be waited for for ever.

Inputs are looked at before anything starts, then read again, some by another process: a pipe gives its bytes once.
"""

from __future__ import annotations

import stat
from pathlib import Path

from talkface.errors import UserError

_FIX = "write it to a file and give that: inputs are read more than once"


def refuse_pipe(path: Path, option: str) -> None:
    """Raise UserError for a named pipe, standard input that is no file, a socket or a device such as a terminal."""
    try:
        mode = path.stat().st_mode
    except OSError:  # missing, or not to be seen: said where it is opened
        return
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        raise UserError(f"{option}: {path} is a pipe", _FIX)
    if stat.S_ISCHR(mode):
        raise UserError(f"{option}: {path} is a device", _FIX)


def check_readable(path: Path, option: str) -> None:
    """Raise UserError unless `path` is a file that can be opened."""
    if not path.exists():
        raise UserError(f"{option}: {path} does not exist", "check the path")
    if path.is_dir():
        raise UserError(f"{option}: {path} is a folder", "name a file in it")
    refuse_pipe(path, option)
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise UserError(f"{option}: {path} is empty")
    except OSError as error:
        raise UserError(f"{option}: {path} cannot be read: {error.strerror}") from error
