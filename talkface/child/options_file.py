"""Options of a child process as a file of JSON: whatever the dataclass has, the child gets, and nothing else.

Strict on purpose: both ends are the same program, so a name that is missing or unknown is a mistake of ours and not a
version to be kind to.
"""

from __future__ import annotations

import dataclasses
import json
import os
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from talkface.option import options_fields, without_none

T = TypeVar("T")


class OptionsFileError(ValueError):
    """A file does not hold the options that are read from it; raised where a child starts, never handled."""


def write_options(path: Path, options: object) -> None:
    """Write a dataclass of options for nobody but this user: it may hold the secret of a room."""
    # O_EXCL: a file that is there already may be readable by others.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(_to_json(options), file)


def read_options(path: Path, kind: type[T]) -> T:
    """Read what `write_options` wrote.

    Raises:
        OptionsFileError: it is not that; the message names the field.
        talkface.errors.UserError: the options are refused by their own checks.
    """
    try:
        data = json.loads(path.read_text())
    except ValueError as error:
        raise OptionsFileError(f"{path.name} is not JSON: {error}") from error
    read: T = _from_json(data, kind, path.stem)
    return read


def _to_json(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {field.name: _to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [_to_json(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"options cannot hold {type(value).__name__}")


def _from_json(value: Any, kind: Any, where: str) -> Any:
    bare = without_none(kind)
    if value is None:
        if bare is kind:
            raise OptionsFileError(f"{where} must not be null")
        return None
    if dataclasses.is_dataclass(bare):
        return _group(value, bare, where)
    if get_origin(bare) is tuple:
        return _tuple(value, get_args(bare), where)
    if isinstance(bare, type) and issubclass(bare, Enum):
        if value not in [member.value for member in bare]:
            raise OptionsFileError(f"{where} is {value!r}, which {bare.__name__} does not know")
        return bare(value)
    if bare is float and type(value) is int:
        return float(value)
    if type(value) is not (str if bare is Path else bare):
        raise OptionsFileError(f"{where} is {value!r}, not of type {bare.__name__}")
    return bare(value)


def _group(value: Any, kind: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise OptionsFileError(f"{where} is not an object")
    fields = {field.name: field for field in options_fields(kind)}
    for problem, names in (("unknown", value.keys() - fields.keys()), ("missing", fields.keys() - value.keys())):
        if names:
            raise OptionsFileError(f"{where}: {', '.join(sorted(names))} is {problem}")
    return kind(**{name: _from_json(value[name], field.kind, f"{where}.{name}") for name, field in fields.items()})


def _tuple(value: Any, kinds: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise OptionsFileError(f"{where} is not a list")
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if len(kinds) != len(value):
        raise OptionsFileError(f"{where} holds {len(value)} values, not {len(kinds)}")
    return tuple(
        _from_json(item, kind, f"{where}[{index}]") for index, (item, kind) in enumerate(zip(value, kinds, strict=True))
    )
