"""Signalling messages and the keys of a room."""

from __future__ import annotations

import re
from dataclasses import replace

import msgpack
import pytest

from protocol.errors import (
    SIGNALLING_ERRORS,
    BadMagicError,
    BadSignatureError,
    MalformedPacketError,
    PayloadTooLargeError,
    ProtocolError,
    SignallingError,
    SignallingVersionError,
    TruncatedPacketError,
    UnknownTypeError,
)
from protocol.signalling.messages import (
    MAX_SDP_BYTES,
    MAX_SIGNALLING_BYTES,
    Description,
    RoomKeys,
    decode_signalling,
    encode_signalling,
)


def message(code: int, *values: object) -> bytes:
    return bytes([0x53, code]) + bytes(msgpack.packb(list(values)))


INVALID = [
    (b"", TruncatedPacketError, "signalling message of 0 bytes has no type"),
    (b"T\x01\x90", BadMagicError, "signalling message magic 0x54 is not 0x53"),
    (b"S\x63\x90", UnknownTypeError, "signalling message type 99 is unknown"),
    (b"S\x01\x90", TruncatedPacketError, "join version missing"),
    (message(1, 2), SignallingVersionError, "join version 2 is not 1: update talkface on the older end"),
    (message(1, 1, ""), TruncatedPacketError, "join proof missing"),
    (message(1, 1, "", bytes(32), bytes(16)), TruncatedPacketError, "join room of 0 bytes is under 1"),
    (message(1, 1, "x" * 65, bytes(32), bytes(16)), PayloadTooLargeError, "join room of 65 bytes is over 64"),
    (message(1, 1, "r", bytes(31), bytes(16)), TruncatedPacketError, "join proof of 31 bytes is under 32"),
    (message(1, 1, "r", bytes(32), bytes(17)), PayloadTooLargeError, "join peer_token of 17 bytes is over 16"),
    (message(3, 1, 1), MalformedPacketError, "peer joined is_offerer is not a boolean"),
    (message(3, 2**32, True), MalformedPacketError, "peer joined generation 4294967296 is outside 0..4294967295"),
    (
        message(5, 1, "other", "v=0", bytes(32)),
        MalformedPacketError,
        "description kind is neither offer nor answer",
    ),
    (
        message(5, 1, "offer", "v" * (MAX_SDP_BYTES + 1), bytes(32)),
        PayloadTooLargeError,
        "description sdp of 16385 bytes is over 16384",
    ),
]


@pytest.mark.parametrize(("data", "error", "text"), INVALID)
def test_invalid_messages(data: bytes, error: type[ProtocolError], text: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(text)}$"):
        decode_signalling(data)


def test_largest_description_fits() -> None:
    largest = Description(generation=2**32 - 1, kind="answer", sdp="v" * MAX_SDP_BYTES, mac=bytes(32))
    assert len(encode_signalling(largest)) <= MAX_SIGNALLING_BYTES


def test_every_code_has_its_error() -> None:
    for code, error in SIGNALLING_ERRORS.items():
        assert error.code == code
        assert issubclass(error, SignallingError)
        assert len(code.encode()) <= 32


def test_keys_depend_on_room_and_secret() -> None:
    keys = RoomKeys.derive("kitchen", "tea")
    assert keys == RoomKeys.derive("kitchen", "tea")
    for other in (RoomKeys.derive("kitchen", "coffee"), RoomKeys.derive("hall", "tea")):
        assert other.proof != keys.proof
        assert other.mac_key != keys.mac_key
    assert keys.proof != keys.mac_key


@pytest.mark.parametrize(
    ("room", "secret", "text"),
    [
        ("", "tea", "room of 0 bytes is under 1"),
        ("kitchen", "", "secret of 0 bytes is under 1"),
        ("k" * 65, "tea", "room of 65 bytes is over 64"),
        ("kitchen", "t" * 257, "secret of 257 bytes is over 256"),
    ],
)
def test_rooms_and_secrets_have_limits(room: str, secret: str, text: str) -> None:
    with pytest.raises(ValueError, match=f"^{text}$"):
        RoomKeys.derive(room, secret)


def test_a_changed_description_is_noticed() -> None:
    keys = RoomKeys(b"p" * 32, b"m" * 32)
    description = keys.describe(7, "offer", "v=0")
    keys.verify(description)
    changes = (
        {"sdp": "v=1"},
        {"kind": "answer"},
        {"generation": 8},
        {"mac": bytes(32)},
    )
    for change in changes:
        with pytest.raises(BadSignatureError, match=r"^description mac does not fit: it was changed on its way"):
            keys.verify(replace(description, **change))
    with pytest.raises(BadSignatureError):
        RoomKeys(b"p" * 32, b"n" * 32).verify(description)
