"""What the command line says about one field of an options dataclass; `talkface/cli/from_options.py` offers it.

    @dataclass(frozen=True, slots=True, kw_only=True)
    class SinkOptions:
        window: Annotated[bool, Option("Show the face in a window.", flag="--window")] = False

A field without an `Option` is not for people: a child process gets it in its file (`talkface/child/options_file.py`).
Dataclasses of options derive from `CheckedOptions`: a number out of its range is refused wherever it comes from.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from talkface.errors import UserError


class PathUse(Enum):
    """What a command does with a path; `talkface/outputs.py` holds them against each other."""

    READ = "read"
    WRITE_FILE = "write a file"
    WRITE_RECORDING = "write a file, back and forth"
    WRITE_FOLDER = "write files in a folder"

    @property
    def is_output(self) -> bool:
        return self is not PathUse.READ


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
    """Both are set for every number."""
    path: PathUse | None = None
    """Set for every option that names a file or a folder, whatever its type."""
    is_argument: bool = False
    """Given by its place in the command line, without a spelling."""


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
    def spelling(self) -> str:
        """How a person finds the option: --some-name, or SOME_NAME of an argument."""
        if self.option is not None and self.option.is_argument:
            return self.name.upper()
        flag = self.option.flag if self.option is not None else None
        return flag or f"--{self.name.replace('_', '-')}"

    @property
    def group(self) -> type | None:
        """The options dataclass that this field holds, if it holds one (or None)."""
        kind = without_none(self.kind)
        return kind if isinstance(kind, type) and dataclasses.is_dataclass(kind) else None


class CheckedOptions:
    """Base of the dataclasses of options. A `__post_init__` of their own calls this one first."""

    __slots__ = ()

    def __post_init__(self) -> None:
        """Raises:
        UserError: a number is not within the limits of its option.
        """
        kind: type = type(self)
        for field in options_fields(kind):
            option, value = field.option, getattr(self, field.name)
            if option is None or option.minimum is None or option.maximum is None:
                continue
            for number in value if isinstance(value, tuple) else (value,):
                # The other way round, not a number would pass.
                if number is not None and not option.minimum <= number <= option.maximum:
                    raise UserError(
                        f"{field.spelling} must be between {option.minimum} and {option.maximum}, got {number}"
                    )


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
