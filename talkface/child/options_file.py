"""Options of a child process as a file of JSON: whatever the dataclass has, the child gets, and nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TypeVar

from talkface.typed_json import TypedJsonError, from_json, to_json

T = TypeVar("T")


def write_options(path: Path, options: object) -> None:
    """Write a dataclass of options for nobody but this user: it may hold the secret of a room."""
    # O_EXCL: a file that is there already may be readable by others.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(to_json(options), file)


def read_options(path: Path, kind: type[T]) -> T:
    """Read what `write_options` wrote.

    Raises:
        TypedJsonError: it is not that; the message names the field.
        talkface.errors.UserError: the options are refused by their own checks.
    """
    try:
        data = json.loads(path.read_text())
    except ValueError as error:
        raise TypedJsonError(f"{path.name} is not JSON: {error}") from error
    return from_json(kind, data, path.stem)
