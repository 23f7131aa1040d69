"""A revocation: the owner of a key says, signed with it, that nothing signed by it counts from now on.

    0  4  magic "TFRV"    4  1  version, 1    5  32  public key    37  2  day (days since 1970-01-01), big-endian
    39 1  length of the reason    40  n  reason, UTF-8    40+n  64  signature of all before it

The statement needs no secrecy and stays true for ever: whoever has it should pass it on.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import date

from protocol.errors import (
    BadMagicError,
    BadSignatureError,
    MalformedPacketError,
    PayloadTooLargeError,
    TruncatedPacketError,
    UnsupportedVersionError,
)
from protocol.identity.key import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, OwnerKey, signature_is_valid
from protocol.wire_fields import Day, Text

REVOCATION_MAGIC = b"TFRV"
REVOCATION_VERSION = 1
MAX_REASON_BYTES = 200
_START = struct.Struct(f">4sB{PUBLIC_KEY_BYTES}sHB")
MAX_REVOCATION_BYTES = _START.size + MAX_REASON_BYTES + SIGNATURE_BYTES


@dataclass(frozen=True, slots=True)
class Revocation:
    """A signed statement. Make one with `revoke`; one that exists has been verified.

    Raises:
        ProtocolError: a field is outside its limits, or the signature is not that key's.
    """

    public_key: bytes
    day: date
    reason: str
    """Why, for people; untrusted text."""
    signature: bytes

    def __post_init__(self) -> None:
        if not signature_is_valid(self.public_key, self.signature, _pack(self.public_key, self.day, self.reason)):
            raise BadSignatureError("revocation signature does not fit: the owner of that key did not say this")

    def to_bytes(self) -> bytes:
        """The statement's file."""
        return _pack(self.public_key, self.day, self.reason) + self.signature

    @classmethod
    def from_bytes(cls, data: bytes) -> Revocation:
        """Read and verify a statement.

        Raises:
            ProtocolError: it is not a revocation of this version, is damaged, or was not made by the key's owner.
        """
        if len(data) > MAX_REVOCATION_BYTES:
            raise PayloadTooLargeError(f"revocation of {len(data)} bytes is over {MAX_REVOCATION_BYTES}")
        if data[:4] != REVOCATION_MAGIC[: len(data)]:
            raise BadMagicError("revocation magic is not TFRV: this is another kind of file")
        if len(data) < _START.size:
            raise TruncatedPacketError(f"revocation of {len(data)} bytes is under {_START.size}: truncated")
        _, version, public_key, day, length = _START.unpack_from(data)
        if version != REVOCATION_VERSION:
            raise UnsupportedVersionError(f"revocation version {version} is unknown, this program reads 1")
        end = _START.size + length
        if len(data) != end + SIGNATURE_BYTES:
            raise MalformedPacketError(f"revocation of {len(data)} bytes should have {end + SIGNATURE_BYTES}")
        try:
            reason = data[_START.size : end].decode()
        except UnicodeDecodeError:
            raise MalformedPacketError("revocation reason is not valid UTF-8") from None
        return cls(public_key, Day().from_wire("revocation day", day), reason, data[end:])


def revoke(key: OwnerKey, day: date, reason: str) -> Revocation:
    """Say that nothing signed with this key counts any more.

    Raises:
        ProtocolError: the reason is too long.
    """
    return Revocation(key.public_key, day, reason, key.sign(_pack(key.public_key, day, reason)))


def _pack(public_key: bytes, day: date, reason: str) -> bytes:
    Text(0, MAX_REASON_BYTES).to_wire("revocation reason", reason)
    if len(public_key) != PUBLIC_KEY_BYTES:
        raise MalformedPacketError(f"revocation public_key of {len(public_key)} bytes is not {PUBLIC_KEY_BYTES}")
    days: int = Day().to_wire("revocation day", day)
    text = reason.encode()
    return _START.pack(REVOCATION_MAGIC, REVOCATION_VERSION, public_key, days, len(text)) + text
