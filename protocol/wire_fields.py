"""Typed fields of a message: each dataclass field says how it looks on the wire and what values it may have.

A message is two bytes, magic and type, then one msgpack array of its fields in order (docs/protocol.md section 4).
The same declarations encode, validate, decode, and are compared with the tables of the document.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from datetime import date
from fractions import Fraction
from typing import Any, TypeVar

import msgpack

from protocol.errors import MalformedPacketError, PayloadTooLargeError, TruncatedPacketError

MAX_ARRAY_FIELDS = 32
"""More fields than any version will have; those we do not know are ignored."""
MAX_INTEGER = 2**53 - 1
"""Largest integer that every language reads exactly."""


class WireKind(ABC):
    """How one field is written, checked and read. `where` names message and field in errors."""

    @abstractmethod
    def describe(self) -> str:
        """The text of the document's type column."""

    @abstractmethod
    def to_wire(self, where: str, value: Any) -> Any:
        """Check and turn into what msgpack writes."""

    @abstractmethod
    def from_wire(self, where: str, value: Any) -> Any:
        """Check what msgpack read and turn it into the field's value."""


@dataclasses.dataclass(frozen=True, slots=True)
class Integer(WireKind):
    low: int
    high: int = MAX_INTEGER

    def describe(self) -> str:
        return f"int {self.low}..{'2^53-1' if self.high == MAX_INTEGER else self.high}"

    def to_wire(self, where: str, value: Any) -> Any:
        if type(value) is not int:  # bool is an int to isinstance
            raise MalformedPacketError(f"{where} is not an integer")
        if not self.low <= value <= self.high:
            raise MalformedPacketError(f"{where} {value} is outside {self.low}..{self.high}")
        return value

    from_wire = to_wire


@dataclasses.dataclass(frozen=True, slots=True)
class Flag(WireKind):
    def describe(self) -> str:
        return "bool"

    def to_wire(self, where: str, value: Any) -> Any:
        if type(value) is not bool:
            raise MalformedPacketError(f"{where} is not a boolean")
        return value

    from_wire = to_wire


@dataclasses.dataclass(frozen=True, slots=True)
class Text(WireKind):
    low_bytes: int
    high_bytes: int

    def describe(self) -> str:
        return f"str {self.low_bytes}..{self.high_bytes} bytes"

    def to_wire(self, where: str, value: Any) -> Any:
        if not isinstance(value, str):
            raise MalformedPacketError(f"{where} is not text")
        try:
            length = len(value.encode())
        except UnicodeEncodeError:
            raise MalformedPacketError(f"{where} is not valid UTF-8") from None
        _check_length(where, length, self.low_bytes, self.high_bytes)
        return value

    from_wire = to_wire


@dataclasses.dataclass(frozen=True, slots=True)
class Binary(WireKind):
    low_bytes: int
    high_bytes: int

    def describe(self) -> str:
        exact = self.low_bytes == self.high_bytes
        return f"bin {self.low_bytes} bytes" if exact else f"bin {self.low_bytes}..{self.high_bytes} bytes"

    def to_wire(self, where: str, value: Any) -> Any:
        if not isinstance(value, bytes):
            raise MalformedPacketError(f"{where} is not binary")
        _check_length(where, len(value), self.low_bytes, self.high_bytes)
        return value

    from_wire = to_wire


@dataclasses.dataclass(frozen=True, slots=True)
class Digest(WireKind):
    """A SHA-256: 64 lower-case hex digits in Python, 32 bytes on the wire."""

    def describe(self) -> str:
        return "bin 32 bytes (SHA-256)"

    def to_wire(self, where: str, value: Any) -> Any:
        return digest_bytes(where, value)

    def from_wire(self, where: str, value: Any) -> Any:
        if not isinstance(value, bytes):
            raise MalformedPacketError(f"{where} is not binary")
        _check_length(where, len(value), 32, 32)
        return value.hex()


@dataclasses.dataclass(frozen=True, slots=True)
class Ratio(WireKind):
    """A fraction of two positive integers in lowest terms; a wire array of two."""

    high: int

    def describe(self) -> str:
        return f"array [int, int] 1..{self.high}"

    def to_wire(self, where: str, value: Any) -> Any:
        if not isinstance(value, Fraction):
            raise MalformedPacketError(f"{where} is not a fraction")
        pair = [value.numerator, value.denominator]
        self.from_wire(where, pair)
        return pair

    def from_wire(self, where: str, value: Any) -> Any:
        if not isinstance(value, list) or len(value) != 2:
            raise MalformedPacketError(f"{where} is not an array of two")
        part = Integer(1, self.high)
        return Fraction(part.from_wire(where, value[0]), part.from_wire(where, value[1]))


@dataclasses.dataclass(frozen=True, slots=True)
class Day(WireKind):
    """A calendar day from 1970 to 2149; the days since 1970-01-01 on the wire."""

    def describe(self) -> str:
        return f"int 0..{MAX_DAY} (days since 1970-01-01)"

    def to_wire(self, where: str, value: Any) -> Any:
        if type(value) is not date:  # a datetime is a date to isinstance
            raise MalformedPacketError(f"{where} is not a day")
        return _DAYS.to_wire(where, value.toordinal() - _FIRST_DAY)

    def from_wire(self, where: str, value: Any) -> Any:
        return date.fromordinal(_FIRST_DAY + _DAYS.from_wire(where, value))


MAX_DAY = 65535
_DAYS = Integer(0, MAX_DAY)
_FIRST_DAY = date(1970, 1, 1).toordinal()


def wire(kind: WireKind) -> dict[str, WireKind]:
    """Metadata for `dataclasses.field`: `frames: int = field(metadata=wire(Integer(0)))`."""
    return {"wire": kind}


def wire_fields(message: type[Any] | Any) -> list[tuple[str, WireKind]]:
    """Names and kinds of a message's fields in wire order."""
    return [(field.name, field.metadata["wire"]) for field in dataclasses.fields(message)]


def check_fields(name: str, message: Any) -> None:
    """Validate all fields; called by every message when it is made.

    Raises:
        ProtocolError: a field has a value that may not go on the wire.
    """
    for field, kind in wire_fields(message):
        kind.to_wire(f"{name} {field}", getattr(message, field))


def pack_fields(name: str, message: Any) -> bytes:
    """The msgpack array of a message's fields."""
    values = [kind.to_wire(f"{name} {field}", getattr(message, field)) for field, kind in wire_fields(message)]
    return bytes(msgpack.packb(values, use_bin_type=True))


def unpack_array(name: str, data: bytes) -> list[Any]:
    """One msgpack array of scalars and short arrays; nothing is allocated beyond the size of `data`.

    Raises:
        MalformedPacketError: `data` is anything else.
    """
    try:
        # timestamp=0 and no room for maps or extensions: those types are not ours.
        values = msgpack.unpackb(
            data, raw=False, use_list=True, timestamp=0, max_array_len=MAX_ARRAY_FIELDS, max_map_len=0, max_ext_len=0
        )
    except (ValueError, TypeError, OverflowError, msgpack.exceptions.UnpackException):
        raise MalformedPacketError(f"{name} fields are not one msgpack array") from None
    if not isinstance(values, list):
        raise MalformedPacketError(f"{name} fields are not one msgpack array")
    return values


M = TypeVar("M")


def build_message(name: str, kind: type[M], values: list[Any]) -> M:
    """A message from the values of its array; values after the known ones are of a later version and ignored.

    Raises:
        ProtocolError: a field is missing or wrong.
    """
    fields = wire_fields(kind)
    if len(values) < len(fields):
        raise TruncatedPacketError(f"{name} {fields[len(values)][0]} missing")
    pairs = zip(fields, values, strict=False)
    return kind(**{field: spec.from_wire(f"{name} {field}", value) for (field, spec), value in pairs})


def digest_bytes(where: str, value: Any) -> bytes:
    """The 32 bytes of a SHA-256 given as 64 lower-case hex digits.

    Raises:
        MalformedPacketError: it is not one.
    """
    if not isinstance(value, str) or len(value) != 64 or set(value) - set("0123456789abcdef"):
        raise MalformedPacketError(f"{where} is not a SHA-256 of 64 lower-case hex digits")
    return bytes.fromhex(value)


def _check_length(where: str, length: int, low: int, high: int) -> None:
    if length > high:
        raise PayloadTooLargeError(f"{where} of {length} bytes is over {high}")
    if length < low:
        raise TruncatedPacketError(f"{where} of {length} bytes is under {low}")
