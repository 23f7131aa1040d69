"""Identity files: what is stored, who signed it, and every way in which one can be wrong."""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import replace
from typing import Any

import pytest

from protocol.errors import (
    BadMagicError,
    BadSignatureError,
    MalformedPacketError,
    PayloadTooLargeError,
    ProtocolError,
    TruncatedPacketError,
    UnsupportedVersionError,
)
from protocol.identity.file import IdentityFile, NumberFormat, sign_identity
from protocol.identity.key import OwnerKey

Z = struct.pack("<512f", *(index / 64 - 4 for index in range(512)))


def signed(key: OwnerKey, **changes: Any) -> IdentityFile:
    fields: dict[str, Any] = {
        "name": "Ann",
        "weights_sha256": "ab" * 32,
        "latent_dim": 512,
        "number_format": NumberFormat.FLOAT32,
        "z": Z,
    }
    return sign_identity(key, **(fields | changes))


def test_round_trip_of_full_size(owner_key: OwnerKey) -> None:
    offsets = struct.pack("<7168e", *(index / 8192 for index in range(7168)))
    z = struct.pack("<512e", *range(512))
    file = signed(owner_key, number_format=NumberFormat.FLOAT16, z=z, num_layers=14, layer_offsets=offsets)
    read = IdentityFile.from_bytes(file.to_bytes())
    assert read == file
    assert struct.unpack("<512e", read.z) == tuple(range(512))
    assert read.layer_offsets == offsets
    assert read.public_key == owner_key.public_key
    assert len(file.to_bytes()) == 74 + len("Ann") + 2 * 512 * 15 + 64


def test_content_hash_is_the_hash_of_the_file(owner_key: OwnerKey) -> None:
    file = signed(owner_key)
    assert file.content_hash() == hashlib.sha256(file.to_bytes()).hexdigest()
    assert signed(owner_key).content_hash() == file.content_hash()
    assert signed(owner_key, name="Bob").content_hash() != file.content_hash()
    assert signed(OwnerKey.generate()).content_hash() != file.content_hash()


def test_every_changed_byte_is_noticed(owner_key: OwnerKey) -> None:
    data = signed(owner_key, latent_dim=8, z=Z[:32]).to_bytes()
    for index in range(len(data)):
        with pytest.raises(ProtocolError):
            IdentityFile.from_bytes(data[:index] + bytes([data[index] ^ 0x10]) + data[index + 1 :])


def test_another_owner_cannot_take_it_over(owner_key: OwnerKey) -> None:
    with pytest.raises(BadSignatureError, match=r"^identity file signature does not fit: it was changed after"):
        replace(signed(owner_key), public_key=OwnerKey.generate().public_key)


def test_a_key_that_is_no_curve_point_is_a_bad_signature(owner_key: OwnerKey) -> None:
    with pytest.raises(BadSignatureError):
        replace(signed(owner_key), public_key=b"\xff" * 32)


def patched(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


@pytest.mark.parametrize(
    ("at", "value", "error", "message"),
    [
        (0, b"RIFF", BadMagicError, "identity file magic is not TFID: this is another kind of file"),
        (4, b"\x02", UnsupportedVersionError, "identity file version 2 is unknown, this program reads 1"),
        (5, b"\x03", MalformedPacketError, "identity file number format 3 is unknown"),
        (6, b"\x21", MalformedPacketError, "identity file num_layers 33 is outside 0..32"),
        (7, b"\x41", PayloadTooLargeError, "identity file name of 65 bytes is over 64"),
        (8, b"\x00\x00", MalformedPacketError, "identity file latent_dim 0 is outside 1..1024"),
        (8, b"\x04\x01", MalformedPacketError, "identity file latent_dim 1025 is outside 1..1024"),
        (8, b"\x02\x01", TruncatedPacketError, "identity file length 2189 is under 2193: truncated"),
        (8, b"\x01\xff", MalformedPacketError, "identity file length 2189 is over 2185: bytes after its end"),
        (74, b"\xff", MalformedPacketError, "identity file name is not valid UTF-8"),
        (77, struct.pack("<f", float("nan")), MalformedPacketError, "identity file z holds a value outside +-1000"),
        (77, struct.pack("<f", float("inf")), MalformedPacketError, "identity file z holds a value outside +-1000"),
        (77, struct.pack("<f", 1000.5), MalformedPacketError, "identity file z holds a value outside +-1000"),
        (
            77,
            struct.pack("<f", 1.5),
            BadSignatureError,
            "identity file signature does not fit: it was changed after its owner signed it",
        ),
    ],
)
def test_invalid_files(owner_key: OwnerKey, at: int, value: bytes, error: type[ProtocolError], message: str) -> None:
    data = signed(owner_key).to_bytes()
    assert len(data) == 2189
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        IdentityFile.from_bytes(patched(data, at, value))


@pytest.mark.parametrize(
    ("length", "message"),
    [
        (0, "identity file header of 0 bytes is under 74: truncated"),
        (73, "identity file header of 73 bytes is under 74: truncated"),
        (74, "identity file length 74 is under 2189: truncated"),
        (2188, "identity file length 2188 is under 2189: truncated"),
    ],
)
def test_truncated_files(owner_key: OwnerKey, length: int, message: str) -> None:
    with pytest.raises(TruncatedPacketError, match=f"^{re.escape(message)}$"):
        IdentityFile.from_bytes(signed(owner_key).to_bytes()[:length])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latent_dim": 2000}, "identity file latent_dim 2000 is outside 1..1024"),
        ({"z": Z[:-1]}, "identity file z has 2047 bytes, 512 values need 2048"),
        ({"num_layers": 2}, "identity file layer_offsets has 0 bytes, 1024 values need 4096"),
        ({"name": "x" * 65}, "identity file name of 65 bytes is over 64"),
        ({"name": "\ud800"}, "identity file name is not valid UTF-8"),
        ({"weights_sha256": "ab"}, "identity file weights_sha256 is not a SHA-256 of 64 lower-case hex digits"),
    ],
)
def test_limits_hold_when_signing(owner_key: OwnerKey, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ProtocolError, match=f"^{re.escape(message)}$"):
        signed(owner_key, **changes)


def test_key_survives_pem() -> None:
    key = OwnerKey.generate()
    again = OwnerKey.from_pem(key.to_pem())
    assert again.public_key == key.public_key
    assert again.sign(b"data") == key.sign(b"data")
    assert len(key.public_key) == 32


def test_unreadable_keys() -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    with pytest.raises(ValueError, match=r"^owner key is not a readable PEM private key"):
        OwnerKey.from_pem(b"-----BEGIN NOTHING-----")
    other = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(ValueError, match=r"^owner key is of another kind than Ed25519$"):
        OwnerKey.from_pem(other)
