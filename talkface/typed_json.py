"""Frozen dataclasses as JSON and back, strictly: for files that one process of this program writes for another.

Both processes are the same program, so a name that is missing or unknown is a mistake of ours and not a version to be
kind to. Fields hold None, numbers, strings, enums, paths, tuples, dictionaries with strings as keys, and dataclasses.
"""

from __future__ import annotations

import dataclasses
import types
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


class TypedJsonError(ValueError):
    """The data is not of the asked-for type; the message names the field. Raised by `from_json`, a mistake of ours."""


def to_json(value: Any) -> Any:
    """What `json.dump` takes.

    Raises:
        TypeError: a field holds something else than the types above.
    """
    if dataclasses.is_dataclass(value):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{type(value).__name__} has no JSON here")


def from_json(kind: type[T], data: Any, where: str) -> T:
    """The value that `to_json` made `data` of.

    Args:
        where: what the data is, for the message of an error.

    Raises:
        TypedJsonError: names or types are not those of `kind`. What a dataclass checks itself, it raises itself.
    """
    value: T = _read(kind, data, where)
    return value


def _read(kind: Any, data: Any, where: str) -> Any:
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        (only,) = (part for part in parts if part is not type(None))
        return None if data is None else _read(only, data, where)
    if data is None:
        raise TypedJsonError(f"{where} must not be null")
    if origin is tuple:
        return _read_tuple(parts, data, where)
    if origin is dict:
        if not isinstance(data, dict):
            raise TypedJsonError(f"{where} is not an object")
        return {key: _read(parts[1], item, f"{where}.{key}") for key, item in data.items()}
    if dataclasses.is_dataclass(kind):
        return _read_dataclass(kind, data, where)
    if issubclass(kind, Enum):
        if data not in [member.value for member in kind]:
            raise TypedJsonError(f"{where} is {data!r}, which {kind.__name__} does not know")
        return kind(data)
    if kind is float and type(data) is int:
        return float(data)
    if type(data) is not (str if kind is Path else kind):
        raise TypedJsonError(f"{where} is {data!r}, not of type {kind.__name__}")
    return kind(data)


def _read_dataclass(kind: Any, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise TypedJsonError(f"{where} is not an object")
    kinds = _field_kinds(kind)
    for problem, names in (("unknown", data.keys() - kinds.keys()), ("missing", kinds.keys() - data.keys())):
        if names:
            raise TypedJsonError(f"{where}: {', '.join(sorted(names))} is {problem}")
    return kind(**{name: _read(kinds[name], data[name], f"{where}.{name}") for name in kinds})


def _read_tuple(kinds: tuple[Any, ...], data: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(data, list):
        raise TypedJsonError(f"{where} is not a list")
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(data)
    if len(kinds) != len(data):
        raise TypedJsonError(f"{where} holds {len(data)} values, not {len(kinds)}")
    return tuple(
        _read(kind, item, f"{where}[{index}]") for index, (kind, item) in enumerate(zip(kinds, data, strict=True))
    )


@cache
def _field_kinds(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}
