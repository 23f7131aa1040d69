"""What an identity file of version 2 is made of: sections by usefulness, each with its hash in the signed header.

A receiver draws with what has come, so small parts that change much stand before large ones that change less. Kinds of
a later version are carried and checked like the others, and otherwise left alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from protocol.errors import MalformedPacketError, PayloadTooLargeError
from protocol.messages import MAX_IDENTITY_BYTES
from protocol.wire_fields import WireKind, digest_bytes

MAX_SECTIONS = 16
MAX_SECTION_KIND = 255


class SectionKind(IntEnum):
    """Kinds in the order in which they lie in a file."""

    LATENT = 1
    """z: the face, in a kilobyte. The one section that must be there."""
    OFFSETS = 2
    """What is added to z in every layer of the generator."""
    DETAIL = 3
    """Small tuned parts of the generator, noise, biases, colours: packed tensors."""
    THUMBNAIL = 4
    """A small picture of the person, JPEG or WebP, for lists and while the face is on its way."""
    REEL = 5
    """How the person moves: style values over time, for calls without a camera and for silence."""
    WEIGHTS = 6
    """Tuned affines of the generator: packed tensors."""
    LOW_RANK = 7
    """Reserved for tuned convolutions; carried, not used."""


MAX_SECTIONS_BYTES = MAX_IDENTITY_BYTES - 4096
"""All sections together: header and signature have room beside them."""
MAX_SECTION_BYTES: dict[int, int] = {
    SectionKind.LATENT: 2048,
    SectionKind.OFFSETS: 65536,
    SectionKind.DETAIL: 65536,
    SectionKind.THUMBNAIL: 16384,
    SectionKind.REEL: 65536,
}
"""Kinds that are not here, and those of later versions, are bounded by the file alone."""


@dataclass(frozen=True, slots=True)
class SectionEntry:
    """One row of the table of sections."""

    kind: int
    """A `SectionKind`, or a number of a later version."""
    length: int
    sha256: str
    """Hex digest of the section's bytes."""

    @classmethod
    def of(cls, kind: int, content: bytes) -> SectionEntry:
        """The entry of a section with that content."""
        return cls(kind, len(content), hashlib.sha256(content).hexdigest())


@dataclass(frozen=True, slots=True)
class SectionTable(WireKind):
    """A wire array of [kind, length, SHA-256], kinds ascending; a tuple of `SectionEntry` in Python."""

    def describe(self) -> str:
        return f"array of 1..{MAX_SECTIONS} [int 1..{MAX_SECTION_KIND}, int 1.., bin 32 bytes]"

    def to_wire(self, where: str, value: Any) -> Any:
        if not isinstance(value, tuple) or not all(isinstance(entry, SectionEntry) for entry in value):
            raise MalformedPacketError(f"{where} is not a tuple of entries")
        _check_table(where, value)
        return [[entry.kind, entry.length, digest_bytes(f"{where} sha256", entry.sha256)] for entry in value]

    def from_wire(self, where: str, value: Any) -> Any:
        if not isinstance(value, list) or len(value) > MAX_SECTIONS:
            raise MalformedPacketError(f"{where} is not an array of at most {MAX_SECTIONS}")
        entries = tuple(_read_entry(where, row) for row in value)
        _check_table(where, entries)
        return entries


def _read_entry(where: str, row: Any) -> SectionEntry:
    if not isinstance(row, list) or len(row) != 3 or not isinstance(row[2], bytes) or len(row[2]) != 32:
        raise MalformedPacketError(f"{where} holds a row that is not kind, length and SHA-256")
    return SectionEntry(row[0], row[1], row[2].hex())


def _check_table(where: str, entries: tuple[SectionEntry, ...]) -> None:
    if not 1 <= len(entries) <= MAX_SECTIONS:
        raise MalformedPacketError(f"{where} has {len(entries)} entries, must be 1..{MAX_SECTIONS}")
    last = 0
    for entry in entries:
        for field, number in (("kind", entry.kind), ("length", entry.length)):
            if type(number) is not int:  # bool is an int to isinstance
                raise MalformedPacketError(f"{where} {field} is not an integer")
        if not last < entry.kind <= MAX_SECTION_KIND:
            raise MalformedPacketError(f"{where} kind {entry.kind} after {last}: kinds must ascend to 255 at most")
        last = entry.kind
        limit = MAX_SECTION_BYTES.get(entry.kind, MAX_SECTIONS_BYTES)
        if entry.length > limit:
            raise PayloadTooLargeError(f"{where} section {entry.kind} of {entry.length} bytes is over {limit}")
        if entry.length < 1:
            raise MalformedPacketError(f"{where} section {entry.kind} of {entry.length} bytes is empty")
    if entries[0].kind != SectionKind.LATENT:
        raise MalformedPacketError(f"{where} does not begin with the latent")
    total = sum(entry.length for entry in entries)
    if total > MAX_SECTIONS_BYTES:
        raise PayloadTooLargeError(f"{where} of {total} bytes together is over {MAX_SECTIONS_BYTES}")
