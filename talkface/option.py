"""What the command line says about one field of an options dataclass; `talkface/cli/from_options.py` offers it.

    @dataclass(frozen=True, slots=True, kw_only=True)
    class SinkOptions:
        window: Annotated[bool, Option("Show the face in a window.", flag="--window")] = False

A field without an `Option` is not for people: a child process gets it in its file (`talkface/child/options_file.py`).
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints


@dataclass(frozen=True, slots=True)
class Option:
    """Help, spelling and limits of one option. Its type and default are those of the field."""

    help: str
    flag: str | None = None
    """Spelling; without it, the field's name. A switch with a spelling of its own has no --no-... beside it."""
    environment: str | None = None
    """Variable that gives the value where the command line does not."""
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True)
class OptionsField:
    """One field of an options dataclass, with its annotation taken apart."""

    name: str
    kind: Any
    """The type, without `Annotated`."""
    option: Option | None
    default: Any
    """`dataclasses.MISSING` where a value has to be given."""

    @property
    def group(self) -> type | None:
        """The options dataclass that this field holds, if it holds one (or None)."""
        kind = without_none(self.kind)
        return kind if isinstance(kind, type) and dataclasses.is_dataclass(kind) else None


@cache
def options_fields(kind: type) -> tuple[OptionsField, ...]:
    """The fields of an options dataclass, in order."""
    return tuple(_fields(kind))


def without_none(kind: Any) -> Any:
    """X of `X | None`; any other type as it is."""
    if get_origin(kind) not in (Union, types.UnionType):
        return kind
    (only,) = (part for part in get_args(kind) if part is not type(None))
    return only


def _fields(kind: type) -> Iterator[OptionsField]:
    hints = get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        bare, option = hints[field.name], None
        if get_origin(bare) is Annotated:
            bare, *notes = get_args(bare)
            option = next((note for note in notes if isinstance(note, Option)), None)
        yield OptionsField(field.name, bare, option, field.default)
