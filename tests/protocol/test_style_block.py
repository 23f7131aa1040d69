"""The style block: forms, limits, and what is ignored."""

from __future__ import annotations

import re

import pytest

from protocol.errors import MalformedPacketError, PayloadTooLargeError, ProtocolError, TruncatedPacketError
from protocol.opus_padding import add_padding, split_padding
from protocol.style_block import (
    MAX_REDUNDANCY_BYTES,
    MAX_STYLE_BYTES,
    PADDING_SYNTAX_BYTES,
    STYLE_HEADER_BYTES,
    StyleBlock,
)


@pytest.mark.parametrize("redundancy", [b"", b"\x48", b"\x48" + b"s" * (MAX_REDUNDANCY_BYTES - 1)])
@pytest.mark.parametrize("length", [0, 1, 14, 15, 16, 17, 254, MAX_STYLE_BYTES])
def test_round_trip_through_a_packet(length: int, redundancy: bytes) -> None:
    block = StyleBlock(style=bytes(length), redundancy=redundancy)
    stripped, data = split_padding(add_padding(b"\x58sound", block.to_bytes()))
    assert stripped.data == b"\x58sound"
    if length or redundancy:
        assert StyleBlock.from_bytes(data) == block
    else:
        assert StyleBlock.from_bytes(data) is None


@pytest.mark.parametrize("length", [1, 15])
def test_style_to_15_bytes_costs_four_bytes_beside_itself(length: int) -> None:
    packet = b"\x58" + b"s" * 57
    padded = add_padding(packet, StyleBlock(style=b"x" * length).to_bytes())
    assert len(padded) - len(packet) == length + STYLE_HEADER_BYTES + PADDING_SYNTAX_BYTES == length + 4


def test_redundancy_needs_no_framing() -> None:
    alone = StyleBlock(style=b"xyz").to_bytes()
    assert StyleBlock(style=b"xyz", redundancy=b"\x48abc").to_bytes() == alone + b"\x48abc"


def test_starts_with_zero_for_decoders_that_know_extensions() -> None:
    for block in (StyleBlock(b"x"), StyleBlock(b"x" * 16), StyleBlock(b"", b"\x48")):
        assert block.to_bytes()[0] == 0


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="no padding"),
        pytest.param(b"\0\0\0", id="zeros"),
        pytest.param(b"\0", id="one zero"),
        pytest.param(b"\xfc\x01\x02", id="an Opus extension"),
        pytest.param(b"\0\x31abc", id="form 3"),
        pytest.param(b"\0\xf1abc", id="form 15"),
        pytest.param(b"\0\x01abc", id="form 0"),
    ],
)
def test_padding_that_is_not_ours_is_ignored(data: bytes) -> None:
    assert StyleBlock.from_bytes(data) is None


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"\0\x15abc", TruncatedPacketError, "style block style of 5 bytes exceeds the 3 left"),
        (b"\0\x20", TruncatedPacketError, "style block style length missing"),
        (b"\0\x20\x10abc", TruncatedPacketError, "style block style of 16 bytes exceeds the 3 left"),
        (b"\0\x21\x10" + b"x" * 16, MalformedPacketError, "style block reserved bits are 1, not 0"),
        (b"\0\x20\x0f" + b"x" * 16, MalformedPacketError, "style block style length 15 belongs in the short form"),
        (b"\0\x10" + b"x" * 601, PayloadTooLargeError, "style block redundancy of 601 bytes is over 600"),
    ],
)
def test_damaged_blocks(data: bytes, error: type[ProtocolError], message: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        StyleBlock.from_bytes(data)


def test_limits_hold_when_writing() -> None:
    with pytest.raises(PayloadTooLargeError, match=r"^style block style of 256 bytes is over 255$"):
        StyleBlock(style=bytes(256))
    with pytest.raises(PayloadTooLargeError, match=r"^style block redundancy of 601 bytes is over 600$"):
        StyleBlock(redundancy=bytes(601))
