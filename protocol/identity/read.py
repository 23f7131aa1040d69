"""Identity files of any version that this program reads."""

from __future__ import annotations

import hashlib
from typing import TypeAlias

from protocol.errors import UnsupportedVersionError
from protocol.identity.file import IDENTITY_MAGIC, IDENTITY_VERSION, IdentityFile
from protocol.identity.header import SECTIONED_VERSION, head_length
from protocol.identity.sectioned import SectionedIdentity

AnyIdentity: TypeAlias = IdentityFile | SectionedIdentity
_SECTIONED = IDENTITY_MAGIC + bytes([SECTIONED_VERSION])
MAGIC_BYTES = len(_SECTIONED)
"""So many bytes tell the version of a file."""


def read_identity(data: bytes) -> AnyIdentity:
    """Read and verify a whole identity file.

    Raises:
        ProtocolError: it is not an identity file of a version that this program reads, or is damaged or incomplete.
    """
    if is_sectioned(data):
        return SectionedIdentity.from_bytes(data)
    if data[:4] == IDENTITY_MAGIC and len(data) >= MAGIC_BYTES and data[4] != IDENTITY_VERSION:
        raise UnsupportedVersionError(f"identity file version {data[4]} is unknown, this program reads 1 and 2")
    return IdentityFile.from_bytes(data)


def content_name(file: bytes) -> str:
    """The SHA-256 under which a file is offered and cached, hex; the file itself is not verified.

    Raises:
        ProtocolError: a header of version 2 is damaged.
    """
    return hashlib.sha256(file[: head_length(file)] if is_sectioned(file) else file).hexdigest()


def is_sectioned(data: bytes | bytearray) -> bool:
    """By the first `MAGIC_BYTES`: a file of version 2."""
    return data[:MAGIC_BYTES] == _SECTIONED
