"""An identity of version 2, whole or as far as it has come (docs/protocol.md section 5).

Header and signature come first; each section is checked against the signed table by itself. What has come so far is
itself the beginning of the file, so a transfer that broke off goes on where it stopped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from protocol.errors import BadSignatureError, MalformedPacketError, PayloadTooLargeError, TruncatedPacketError
from protocol.identity.file import NumberFormat, check_floats
from protocol.identity.header import IdentityHeader, head_length
from protocol.identity.key import SIGNATURE_BYTES, OwnerKey, signature_is_valid
from protocol.identity.sections import SectionEntry, SectionKind
from protocol.messages import MAX_IDENTITY_BYTES

_PICTURE_STARTS = (b"\xff\xd8\xff", b"RIFF")
"""JPEG and WebP."""


@dataclass(frozen=True, slots=True)
class SectionedIdentity:
    """A signed identity with the sections that are here. Make one with `sign_sections`.

    Raises:
        ProtocolError: the signature is not the owner's, or a section is not what the table says.
    """

    header: IdentityHeader
    signature: bytes
    sections: tuple[bytes, ...]
    """The first sections of the table, in order; all of them in a whole file."""

    def __post_init__(self) -> None:
        if len(self.signature) != SIGNATURE_BYTES:
            raise TruncatedPacketError(f"identity file signature of {len(self.signature)} bytes is not 64")
        if not signature_is_valid(self.header.public_key, self.signature, self.header.to_bytes()):
            raise BadSignatureError("identity file signature does not fit: it was changed after its owner signed it")
        if len(self.sections) > len(self.header.sections):
            raise MalformedPacketError("identity file has more sections than its table")
        for entry, content in zip(self.header.sections, self.sections, strict=False):
            self._check_section(entry, content)

    @property
    def name(self) -> str:
        """What the owner calls it; untrusted text."""
        return self.header.name

    @property
    def weights_sha256(self) -> str:
        return self.header.weights_sha256

    @property
    def latent_dim(self) -> int:
        return self.header.latent_dim

    @property
    def public_key(self) -> bytes:
        return self.header.public_key

    @property
    def number_format(self) -> NumberFormat:
        """Of z and offsets."""
        return NumberFormat.FLOAT16

    @property
    def z(self) -> bytes:
        """[latent_dim] floats; empty while it has not come."""
        return self.section(SectionKind.LATENT)

    @property
    def layer_offsets(self) -> bytes:
        """[num_layers, latent_dim] floats; empty where there are none, or while they have not come."""
        return self.section(SectionKind.OFFSETS)

    @property
    def num_layers(self) -> int:
        """Rows of `layer_offsets` that are here."""
        return self.header.num_layers if self.layer_offsets else 0

    @property
    def is_whole(self) -> bool:
        """All sections are here."""
        return len(self.sections) == len(self.header.sections)

    def section(self, kind: int) -> bytes:
        """The content of a section; empty when the file has none, or while it has not come."""
        for entry, content in zip(self.header.sections, self.sections, strict=False):
            if entry.kind == kind:
                return content
        return b""

    def to_bytes(self) -> bytes:
        """The file, up to the last section that is here."""
        return b"".join([self.header.to_bytes(), self.signature, *self.sections])

    def content_hash(self) -> str:
        """SHA-256 of header and signature, hex: the name under which it is offered and cached.

        Two files with that name have the same sections, because the header holds their hashes.
        """
        return hashlib.sha256(self.header.to_bytes() + self.signature).hexdigest()

    @classmethod
    def from_bytes(cls, data: bytes) -> SectionedIdentity:
        """Read and verify a whole file.

        Raises:
            ProtocolError: it is not an identity file of version 2, is damaged, incomplete, or was tampered with.
        """
        if len(data) > MAX_IDENTITY_BYTES:
            raise PayloadTooLargeError(f"identity file of {len(data)} bytes is over {MAX_IDENTITY_BYTES}")
        identity = cls.from_beginning(data)
        size = identity.header.size_bytes
        if len(data) < size:
            raise TruncatedPacketError(f"identity file length {len(data)} is under {size}: truncated")
        return identity

    @classmethod
    def from_beginning(cls, data: bytes) -> SectionedIdentity:
        """Read and verify as many sections as are whole in the beginning of a file.

        Raises:
            ProtocolError: header and signature are not whole, or something is damaged, or bytes follow the end.
        """
        head = head_length(data)
        if len(data) < head:
            raise TruncatedPacketError(f"identity file header of {len(data)} bytes is under {head}: truncated")
        header = IdentityHeader.from_bytes(data)
        if len(data) > header.size_bytes:
            raise MalformedPacketError(
                f"identity file length {len(data)} is over {header.size_bytes}: bytes after its end"
            )
        return cls(header, data[head - SIGNATURE_BYTES : head], tuple(_whole_sections(header, data, head)))

    def _check_section(self, entry: SectionEntry, content: bytes) -> None:
        where = f"section {entry.kind}"
        if len(content) != entry.length:
            raise MalformedPacketError(f"identity file {where} has {len(content)} bytes, not {entry.length}")
        if hashlib.sha256(content).hexdigest() != entry.sha256:
            raise MalformedPacketError(f"identity file {where} does not have the SHA-256 of the table")
        if entry.kind in (SectionKind.LATENT, SectionKind.OFFSETS):
            check_floats(where, content, len(content) // 2, NumberFormat.FLOAT16)
        if entry.kind == SectionKind.THUMBNAIL and not content.startswith(_PICTURE_STARTS):
            raise MalformedPacketError(f"identity file {where} is not a JPEG or WebP picture")


def sign_sections(
    key: OwnerKey,
    sections: Mapping[int, bytes],
    *,
    name: str,
    weights_sha256: str,
    latent_dim: int,
    created: date,
    consent: str = "",
    consent_day: date | None = None,
    is_synthetic: bool,
    shows_real_person: bool,
    allows_unmarked: bool = False,
) -> SectionedIdentity:
    """A new identity, signed.

    Args:
        sections: contents by kind; LATENT must be there. Rows of offsets follow from their length.
        consent_day: the day of creation without it.

    Raises:
        ProtocolError: a field is outside its limits, or a section is not what its kind says.
    """
    ordered = sorted(sections.items())
    header = IdentityHeader(
        name=name,
        weights_sha256=weights_sha256,
        latent_dim=latent_dim,
        num_layers=len(sections.get(SectionKind.OFFSETS, b"")) // max(1, 2 * latent_dim),
        public_key=key.public_key,
        created=created,
        consent=consent,
        consent_day=created if consent_day is None else consent_day,
        is_synthetic=is_synthetic,
        shows_real_person=shows_real_person,
        allows_unmarked=allows_unmarked,
        sections=tuple(SectionEntry.of(kind, content) for kind, content in ordered),
    )
    return SectionedIdentity(header, key.sign(header.to_bytes()), tuple(content for _, content in ordered))


def _whole_sections(header: IdentityHeader, data: bytes, start: int) -> Iterable[bytes]:
    for entry in header.sections:
        if start + entry.length > len(data):
            return
        yield data[start : start + entry.length]
        start += entry.length
