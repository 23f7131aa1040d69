"""The identity file of version 1: one latent for one set of weights, signed by its owner (paper III.D).

    0   4  magic "TFID"            8   2  latent_dim, big-endian     74       n  name, UTF-8
    4   1  version                10  32  SHA-256 of the weights     74+n     .  z, little-endian floats
    5   1  number format          42  32  owner's public key         ...      .  per-layer offsets, if any
    6   1  num_layers (0: none)                                      end-64  64  signature of all before it
    7   1  name length

See docs/protocol.md section 5. Every field has one possible encoding, so equal identities are equal bytes and the
content hash is the SHA-256 of the file. Arrays are bytes: `numpy.frombuffer(file.z, file.number_format.numpy_dtype)`
reads them. Version 2 is in `header.py` and `sectioned.py`; `read.py` reads both.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from enum import Enum

from protocol.errors import (
    BadMagicError,
    BadSignatureError,
    MalformedPacketError,
    PayloadTooLargeError,
    TruncatedPacketError,
    UnsupportedVersionError,
)
from protocol.identity.key import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, OwnerKey, signature_is_valid
from protocol.wire_fields import digest_bytes

IDENTITY_MAGIC = b"TFID"
IDENTITY_VERSION = 1
MAX_LATENT_DIM = 1024
MAX_LAYERS = 32
MAX_NAME_BYTES = 64
MAX_FILE_BYTES = 256 * 1024
"""Of a file of version 1; z with offsets for 32 layers of 512 values in fp32 is 68 kB."""
MAX_ABSOLUTE_VALUE = 1000.0
"""Latents are a few units; anything beyond this, infinities and NaN would only break the generator."""
_HEADER = struct.Struct(f">4sBBBBH32s{PUBLIC_KEY_BYTES}s")


class NumberFormat(Enum):
    """How floats are stored, little-endian."""

    FLOAT32 = 1
    FLOAT16 = 2

    @property
    def num_bytes(self) -> int:
        return 4 if self is NumberFormat.FLOAT32 else 2

    @property
    def numpy_dtype(self) -> str:
        """Name for numpy."""
        return "<f4" if self is NumberFormat.FLOAT32 else "<f2"


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityFile:
    """A signed identity. Make one with `sign_identity`; one that exists has been verified.

    Raises:
        ProtocolError: a field is outside its limits, or the signature is not the owner's.
    """

    name: str
    """What the owner calls it, 0..64 bytes of UTF-8; untrusted text."""
    weights_sha256: str
    """Hex digest of the weights that `z` belongs to."""
    latent_dim: int
    number_format: NumberFormat
    z: bytes
    """[latent_dim] floats."""
    num_layers: int = 0
    layer_offsets: bytes = b""
    """[num_layers, latent_dim] floats, row by row; empty when num_layers is 0."""
    public_key: bytes
    signature: bytes

    def __post_init__(self) -> None:
        signed = self._signed_bytes()
        if len(self.signature) != SIGNATURE_BYTES:
            raise TruncatedPacketError(f"identity file signature of {len(self.signature)} bytes is not 64")
        if not signature_is_valid(self.public_key, self.signature, signed):
            raise BadSignatureError("identity file signature does not fit: it was changed after its owner signed it")

    def to_bytes(self) -> bytes:
        """The file."""
        return self._signed_bytes() + self.signature

    def content_hash(self) -> str:
        """SHA-256 of the file, hex: the name under which it is offered and cached."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def _signed_bytes(self) -> bytes:
        return _pack_signed(
            self.name,
            self.weights_sha256,
            self.latent_dim,
            self.number_format,
            self.z,
            self.num_layers,
            self.layer_offsets,
            self.public_key,
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> IdentityFile:
        """Read and verify a file.

        Raises:
            ProtocolError: it is not an identity file of this version, is damaged, or was tampered with.
        """
        if len(data) > MAX_FILE_BYTES:
            raise PayloadTooLargeError(f"identity file of {len(data)} bytes is over {MAX_FILE_BYTES}")
        if data[:4] != IDENTITY_MAGIC[: len(data)]:
            raise BadMagicError("identity file magic is not TFID: this is another kind of file")
        if len(data) >= 5 and data[4] != IDENTITY_VERSION:
            raise UnsupportedVersionError(f"identity file version {data[4]} is unknown, this program reads 1")
        if len(data) < _HEADER.size:
            raise TruncatedPacketError(f"identity file header of {len(data)} bytes is under {_HEADER.size}: truncated")
        _, _, format_code, num_layers, name_length, latent_dim, weights, public_key = _HEADER.unpack_from(data)
        number_format = _number_format(format_code)
        _check_shape(latent_dim, num_layers, name_length)
        row = latent_dim * number_format.num_bytes
        ends = [_HEADER.size + name_length]
        ends += [ends[0] + row, ends[0] + row * (1 + num_layers)]
        total = ends[2] + SIGNATURE_BYTES
        if len(data) < total:
            raise TruncatedPacketError(f"identity file length {len(data)} is under {total}: truncated")
        if len(data) > total:
            raise MalformedPacketError(f"identity file length {len(data)} is over {total}: bytes after its end")
        return cls(
            name=_decode_name(data[_HEADER.size : ends[0]]),
            weights_sha256=weights.hex(),
            latent_dim=latent_dim,
            number_format=number_format,
            z=data[ends[0] : ends[1]],
            num_layers=num_layers,
            layer_offsets=data[ends[1] : ends[2]],
            public_key=public_key,
            signature=data[ends[2] :],
        )


def sign_identity(
    key: OwnerKey,
    *,
    name: str,
    weights_sha256: str,
    latent_dim: int,
    number_format: NumberFormat,
    z: bytes,
    num_layers: int = 0,
    layer_offsets: bytes = b"",
) -> IdentityFile:
    """A new identity, signed; arguments as the fields of `IdentityFile`.

    Raises:
        ProtocolError: a field is outside its limits.
    """
    signed = _pack_signed(name, weights_sha256, latent_dim, number_format, z, num_layers, layer_offsets, key.public_key)
    return IdentityFile(
        name=name,
        weights_sha256=weights_sha256,
        latent_dim=latent_dim,
        number_format=number_format,
        z=z,
        num_layers=num_layers,
        layer_offsets=layer_offsets,
        public_key=key.public_key,
        signature=key.sign(signed),
    )


def _pack_signed(
    name: str,
    weights_sha256: str,
    latent_dim: int,
    number_format: NumberFormat,
    z: bytes,
    num_layers: int,
    layer_offsets: bytes,
    public_key: bytes,
) -> bytes:
    """All bytes before the signature, with every field checked."""
    try:
        name_bytes = name.encode()
    except UnicodeEncodeError:
        raise MalformedPacketError("identity file name is not valid UTF-8") from None
    _check_shape(latent_dim, num_layers, len(name_bytes))
    check_floats("z", z, latent_dim, number_format)
    check_floats("layer_offsets", layer_offsets, latent_dim * num_layers, number_format)
    if len(public_key) != PUBLIC_KEY_BYTES:
        raise MalformedPacketError(f"identity file public_key of {len(public_key)} bytes is not {PUBLIC_KEY_BYTES}")
    header = _HEADER.pack(
        IDENTITY_MAGIC,
        IDENTITY_VERSION,
        number_format.value,
        num_layers,
        len(name_bytes),
        latent_dim,
        digest_bytes("identity file weights_sha256", weights_sha256),
        public_key,
    )
    return header + name_bytes + z + layer_offsets


def _check_shape(latent_dim: int, num_layers: int, name_length: int) -> None:
    if not 1 <= latent_dim <= MAX_LATENT_DIM:
        raise MalformedPacketError(f"identity file latent_dim {latent_dim} is outside 1..{MAX_LATENT_DIM}")
    if not 0 <= num_layers <= MAX_LAYERS:
        raise MalformedPacketError(f"identity file num_layers {num_layers} is outside 0..{MAX_LAYERS}")
    if name_length > MAX_NAME_BYTES:
        raise PayloadTooLargeError(f"identity file name of {name_length} bytes is over {MAX_NAME_BYTES}")


def check_floats(field: str, data: bytes, count: int, number_format: NumberFormat) -> None:
    """Raise a ProtocolError unless `data` is that many finite floats within the limits."""
    expected = count * number_format.num_bytes
    if len(data) != expected:
        raise MalformedPacketError(f"identity file {field} has {len(data)} bytes, {count} values need {expected}")
    code = "f" if number_format is NumberFormat.FLOAT32 else "e"
    # NaN fails both comparisons.
    values = struct.unpack(f"<{count}{code}", data)
    if not all(-MAX_ABSOLUTE_VALUE <= value <= MAX_ABSOLUTE_VALUE for value in values):
        raise MalformedPacketError(f"identity file {field} holds a value outside +-{MAX_ABSOLUTE_VALUE:g}")


def _number_format(code: int) -> NumberFormat:
    try:
        return NumberFormat(code)
    except ValueError:
        raise MalformedPacketError(f"identity file number format {code} is unknown") from None


def _decode_name(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise MalformedPacketError("identity file name is not valid UTF-8") from None
