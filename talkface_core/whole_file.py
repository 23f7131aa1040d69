"""Files that are replaced whole: a reader sees the old one or the new one, never a part.

    with written_beside(path) as partial:     # .NAME.1f3c9a02.partial, in the same folder
        partial.write_bytes(...)              # flushed and renamed when the block ends, removed when it fails

Links are followed: the file that a link points at is replaced, the link stays. What is no ordinary file (`/dev/stdout`,
a named pipe) cannot be replaced and is written to as it is.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MAX_STEM_CHARACTERS = 40
"""Of the name within a name, so that it does not grow over what a file system takes (255 bytes)."""


def write_whole(path: Path, content: bytes) -> None:
    """Write beside, flush to disk, rename; a full disk or a power cut leaves an earlier file as it was.

    Raises:
        OSError: it cannot be written; nothing is left beside.
    """
    with written_beside(path) as partial:
        partial.write_bytes(content)


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Gives a new, empty file to write to; it takes the place of `path` when the block ends without an error.

    Raises:
        OSError: it cannot be written; nothing is left beside, and an earlier file is as it was.
    """
    if is_special(path):
        yield path
        return
    target = resolved(path)
    partial = new_file(target.with_name(f".{target.name[:MAX_STEM_CHARACTERS]}.{secrets.token_hex(4)}.partial"))
    try:
        yield partial
        put_in_place(partial, target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def new_file(path: Path) -> Path:
    """Create an empty file where none is; its mode is the user's usual one.

    Raises:
        FileExistsError: there is one; OSError: the folder is gone or not writable.
    """
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o666))
    return path


def put_in_place(partial: Path, path: Path) -> None:
    """Flush a finished file to disk and let it take the place of `path`, whose mode it keeps.

    Raises:
        OSError: it could not be; `partial` is still there unless its folder is gone.
    """
    target = resolved(path)
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    if target.exists():
        partial.chmod(stat.S_IMODE(target.stat().st_mode))
    partial.replace(target)


def resolved(path: Path) -> Path:
    """The file that is meant, links followed; it need not exist."""
    return Path(os.path.realpath(path))


def is_special(path: Path) -> bool:
    """True for what exists and is neither a file nor a folder: a device, a pipe, a socket."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)
