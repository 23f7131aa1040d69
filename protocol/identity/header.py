"""The header of an identity file of version 2: who, for which weights, with whose consent, and the table of sections.

    0   4  magic "TFID"
    4   1  version, 2
    5   2  length of the header, big-endian
    7   n  header: one msgpack array of the fields below
    7+n 64 signature of all before it
    ...    sections, without gaps, in the order of the table

The header is canonical: it has exactly these fields, and what msgpack could write in two ways is refused in the longer.
The identity's name in offers and caches is the SHA-256 of everything up to the sections, which the table stands for.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from datetime import date

from protocol.errors import (
    BadMagicError,
    MalformedPacketError,
    PayloadTooLargeError,
    TruncatedPacketError,
    UnsupportedVersionError,
)
from protocol.identity.file import IDENTITY_MAGIC, MAX_LATENT_DIM, MAX_LAYERS, MAX_NAME_BYTES
from protocol.identity.key import PUBLIC_KEY_BYTES, SIGNATURE_BYTES
from protocol.identity.sections import SectionEntry, SectionKind, SectionTable
from protocol.wire_fields import (
    Binary,
    Day,
    Digest,
    Flag,
    Integer,
    Text,
    build_message,
    check_fields,
    pack_fields,
    unpack_array,
    wire,
    wire_fields,
)

SECTIONED_VERSION = 2
MAX_HEADER_BYTES = 2048
MAX_CONSENT_BYTES = 500
PREFIX_BYTES = 7
_PREFIX = struct.Struct(">4sBH")
_NAME = "identity file"


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityHeader:
    """What an identity says about itself; signed by its owner.

    Raises:
        ProtocolError: a field is outside its limits, or fields contradict each other.
    """

    name: str = field(metadata=wire(Text(0, MAX_NAME_BYTES)))
    """What the owner calls it; untrusted text."""
    weights_sha256: str = field(metadata=wire(Digest()))
    """Hex digest of the weights that this face belongs to, and that its tuned parts are a difference to."""
    latent_dim: int = field(metadata=wire(Integer(1, MAX_LATENT_DIM)))
    num_layers: int = field(metadata=wire(Integer(0, MAX_LAYERS)))
    """Rows of per-layer offsets; 0 where there is no such section."""
    public_key: bytes = field(metadata=wire(Binary(PUBLIC_KEY_BYTES, PUBLIC_KEY_BYTES)))
    """The owner's."""
    created: date = field(metadata=wire(Day()))
    consent: str = field(default="", metadata=wire(Text(0, MAX_CONSENT_BYTES)))
    """The statement of the person shown that this face may be drawn; empty where nobody is shown."""
    consent_day: date = field(metadata=wire(Day()))
    """When that was stated; the day of creation where nobody is shown."""
    is_synthetic: bool = field(metadata=wire(Flag()))
    """The material was made by a machine: nobody looks like this."""
    shows_real_person: bool = field(metadata=wire(Flag()))
    """The face is that of somebody who exists."""
    allows_unmarked: bool = field(default=False, metadata=wire(Flag()))
    """The owner lets recordings go without the visible mark that says that the face is drawn."""
    sections: tuple[SectionEntry, ...] = field(metadata=wire(SectionTable()))

    def __post_init__(self) -> None:
        check_fields(_NAME, self)
        if self.shows_real_person and not self.consent.strip():
            raise MalformedPacketError("identity file consent is empty, a face of a real person needs a statement")
        if self.consent_day > self.created:
            raise MalformedPacketError("identity file consent_day is after created")
        rows = {SectionKind.LATENT: 1, SectionKind.OFFSETS: self.num_layers}
        lengths = {entry.kind: entry.length for entry in self.sections}
        for kind, count in rows.items():
            expected = 2 * self.latent_dim * count
            if lengths.get(kind, 0) != expected:
                raise MalformedPacketError(
                    f"identity file section {kind.name} has {lengths.get(kind, 0)} bytes, "
                    f"{self.latent_dim * count} values need {expected}"
                )

    def to_bytes(self) -> bytes:
        """Everything before the signature."""
        fields = pack_fields(_NAME, self)
        return _PREFIX.pack(IDENTITY_MAGIC, SECTIONED_VERSION, len(fields)) + fields

    @property
    def head_bytes(self) -> int:
        """Length of header and signature: where sections begin."""
        return len(self.to_bytes()) + SIGNATURE_BYTES

    @property
    def size_bytes(self) -> int:
        """Of the whole file."""
        return self.head_bytes + sum(entry.length for entry in self.sections)

    @classmethod
    def from_bytes(cls, data: bytes) -> IdentityHeader:
        """Read the header at the start of a file; the signature is not looked at.

        Raises:
            ProtocolError: it is not a header of this version, is damaged, or is not in its one form.
        """
        end = head_length(data) - SIGNATURE_BYTES
        if len(data) < end:
            raise TruncatedPacketError(f"identity file header of {len(data)} bytes is under {end}: truncated")
        values = unpack_array(_NAME, data[PREFIX_BYTES:end])
        if len(values) > len(wire_fields(cls)):
            raise MalformedPacketError("identity file header holds more fields than version 2 has")
        header = build_message(_NAME, cls, values)
        if header.to_bytes() != data[:end]:
            raise MalformedPacketError("identity file header is not in its one form")
        return header


def head_length(data: bytes | bytearray) -> int:
    """Length of header and signature, from the first bytes of a file.

    Raises:
        ProtocolError: these are not the first bytes of an identity file of version 2.
    """
    if data[:4] != IDENTITY_MAGIC[: len(data)]:
        raise BadMagicError("identity file magic is not TFID: this is another kind of file")
    if len(data) >= 5 and data[4] != SECTIONED_VERSION:
        raise UnsupportedVersionError(f"identity file version {data[4]} is unknown, 2 was expected")
    if len(data) < PREFIX_BYTES:
        raise TruncatedPacketError(f"identity file of {len(data)} bytes is under {PREFIX_BYTES}: truncated")
    length: int = _PREFIX.unpack_from(data)[2]
    if length > MAX_HEADER_BYTES:
        raise PayloadTooLargeError(f"identity file header of {length} bytes is over {MAX_HEADER_BYTES}")
    return PREFIX_BYTES + length + SIGNATURE_BYTES
