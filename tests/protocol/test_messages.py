"""Control messages: versions, limits and their exact complaints."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from typing import Any

import msgpack
import pytest

from protocol.errors import (
    BadMagicError,
    MalformedPacketError,
    PayloadTooLargeError,
    ProtocolError,
    TruncatedPacketError,
    UnknownTypeError,
    UnsupportedVersionError,
)
from protocol.messages import (
    MAX_CHUNK_BYTES,
    MAX_MESSAGE_BYTES,
    Bye,
    Hello,
    IdentityData,
    decode_message,
    encode_message,
)

WEIGHTS = bytes(range(32))
HELLO = [1, WEIGHTS, 256, [25, 1], 3, "talkface 0.1.0"]


def hello(**changes: Any) -> Hello:
    base = Hello(weights_sha256="ab" * 32, resolution_px=256, frame_rate=Fraction(25), style_table_id=3)
    return replace(base, **changes)


def message(code: int, *values: Any) -> bytes:
    return bytes([0x54, code]) + bytes(msgpack.packb(list(values)))


def changed(index: int, value: Any) -> bytes:
    return message(1, *HELLO[:index], value, *HELLO[index + 1 :])


def test_hello_fields_arrive() -> None:
    read = decode_message(message(1, *HELLO))
    assert isinstance(read, Hello)
    assert read.weights_sha256 == WEIGHTS.hex()
    assert (read.resolution_px, read.frame_rate, read.style_table_id) == (256, Fraction(25), 3)
    assert read.agent == "talkface 0.1.0"


def test_fields_of_a_later_version_are_ignored() -> None:
    assert decode_message(message(1, *HELLO, "new", 7)) == decode_message(message(1, *HELLO))


INVALID = [
    (b"", TruncatedPacketError, "message of 0 bytes has no type"),
    (b"T", TruncatedPacketError, "message of 1 bytes has no type"),
    (b"S\x01\x90", BadMagicError, "message magic 0x53 is not 0x54"),
    (b"T\x63\x90", UnknownTypeError, "message type 99 is unknown"),
    (b"T\x01", MalformedPacketError, "hello fields are not one msgpack array"),
    (b"T\x01\x90", TruncatedPacketError, "hello protocol_version missing"),
    (message(1, *HELLO[:3]), TruncatedPacketError, "hello frame_rate missing"),
    (
        message(1, 2),
        UnsupportedVersionError,
        "hello protocol_version 2 is not 1: update talkface on the older end",
    ),
    (changed(0, True), MalformedPacketError, "hello protocol_version is not an integer"),
    (changed(1, WEIGHTS[:31]), TruncatedPacketError, "hello weights_sha256 of 31 bytes is under 32"),
    (changed(1, WEIGHTS + b"x"), PayloadTooLargeError, "hello weights_sha256 of 33 bytes is over 32"),
    (changed(1, "ab" * 32), MalformedPacketError, "hello weights_sha256 is not binary"),
    (changed(2, 8), MalformedPacketError, "hello resolution_px 8 is outside 16..2048"),
    (changed(2, 2049), MalformedPacketError, "hello resolution_px 2049 is outside 16..2048"),
    (changed(2, 256.0), MalformedPacketError, "hello resolution_px is not an integer"),
    (changed(3, [25]), MalformedPacketError, "hello frame_rate is not an array of two"),
    (changed(3, [25, 0]), MalformedPacketError, "hello frame_rate 0 is outside 1..120000"),
    (changed(3, [120_001, 1]), MalformedPacketError, "hello frame_rate 120001 is outside 1..120000"),
    (changed(4, 256), MalformedPacketError, "hello style_table_id 256 is outside 0..255"),
    (changed(5, "x" * 65), PayloadTooLargeError, "hello agent of 65 bytes is over 64"),
    (changed(5, b"x"), MalformedPacketError, "hello agent is not text"),
    (message(2, WEIGHTS, 0), MalformedPacketError, "identity offer size_bytes 0 is outside 1..2097152"),
    (message(2, WEIGHTS, 2_097_153), MalformedPacketError, "identity offer size_bytes 2097153 is outside 1..2097152"),
    (message(3, WEIGHTS, -1), MalformedPacketError, "identity request offset_bytes -1 is outside 0..2097152"),
    (message(4, WEIGHTS, 0, b""), TruncatedPacketError, "identity data data of 0 bytes is under 1"),
    (
        message(4, WEIGHTS, 0, bytes(MAX_CHUNK_BYTES + 1)),
        PayloadTooLargeError,
        "identity data data of 16385 bytes is over 16384",
    ),
    (message(5, *range(8)), TruncatedPacketError, "stats frames_shown missing"),
    (
        message(5, *range(8), 2**53),
        MalformedPacketError,
        "stats frames_shown 9007199254740992 is outside 0..9007199254740991",
    ),
    (message(6, "x" * 201), PayloadTooLargeError, "bye reason of 201 bytes is over 200"),
    (bytes(MAX_MESSAGE_BYTES + 1), PayloadTooLargeError, "message of 17409 bytes is over 17408"),
]


@pytest.mark.parametrize(("data", "error", "text"), INVALID)
def test_invalid_messages(data: bytes, error: type[ProtocolError], text: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(text)}$"):
        decode_message(data)


def test_limits_hold_when_writing() -> None:
    with pytest.raises(MalformedPacketError, match=r"^hello resolution_px 4 is outside 16\.\.2048$"):
        hello(resolution_px=4)
    with pytest.raises(MalformedPacketError, match=r"^hello weights_sha256 is not a SHA-256 of 64 lower-case hex"):
        hello(weights_sha256="AB" * 32)
    with pytest.raises(MalformedPacketError, match=r"^hello frame_rate is not a fraction$"):
        hello(frame_rate=25.0)
    with pytest.raises(MalformedPacketError, match=r"^bye reason is not valid UTF-8$"):
        Bye(reason="\ud800")


def test_largest_chunk_fits_a_message() -> None:
    chunk = IdentityData(content_sha256="ab" * 32, offset_bytes=262_144, data=bytes(MAX_CHUNK_BYTES))
    assert len(encode_message(chunk)) <= MAX_MESSAGE_BYTES
    assert decode_message(encode_message(chunk)) == chunk


def test_mismatches_are_named() -> None:
    assert hello().mismatches(hello(agent="other", resolution_px=512)) == []
    sentences = hello().mismatches(hello(weights_sha256="cd" * 32, style_table_id=4))
    assert sentences == [
        "the far end has other weights (cdcdcdcd, ours abababab): identities do not carry over; "
        "install the same weights on both ends",
        "the far end has style table 4, ours is 3: style is ignored; install the same weights on both ends",
    ]
