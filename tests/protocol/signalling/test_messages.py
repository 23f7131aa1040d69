"""Signalling messages and the keys of a room."""

from __future__ import annotations

import re

import msgpack
import pytest

from protocol.errors import (
    SIGNALLING_ERRORS,
    BadMagicError,
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
    (message(1, 3), SignallingVersionError, "join version 3 is not 2: update talkface on the older end"),
    (
        message(1, 1, "kitchen", bytes(32), bytes(16)),  # as version 1 of this protocol joined
        SignallingVersionError,
        "join version 1 is not 2: update talkface on the older end",
    ),
    (message(1, 2, bytes(32)), TruncatedPacketError, "join peer_token missing"),
    (message(1, 2, bytes(31), bytes(16)), TruncatedPacketError, "join room_id of 31 bytes is under 32"),
    (message(1, 2, bytes(32), bytes(17)), PayloadTooLargeError, "join peer_token of 17 bytes is over 16"),
    (message(8, 1, bytes(33)), PayloadTooLargeError, "exchange share of 33 bytes is over 32"),
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
