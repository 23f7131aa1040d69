"""Framing of Opus packets against RFC 6716 section 3."""

from __future__ import annotations

import re

import pytest

from protocol.errors import MalformedPacketError, PayloadTooLargeError, ProtocolError, TruncatedPacketError
from protocol.opus_packet import OpusPacket, build_opus_packet, frame_ticks, parse_opus_packet

# RFC 6716 table 2, milliseconds by configuration number.
TABLE_2 = [10, 20, 40, 60] * 3 + [10, 20] * 2 + [2.5, 5, 10, 20] * 4


def test_frame_durations_of_table_2() -> None:
    assert [frame_ticks(config << 3) / 48 for config in range(32)] == TABLE_2


def test_parses_every_code() -> None:
    assert parse_opus_packet(b"\x48") == OpusPacket(0x48, (b"",))
    assert parse_opus_packet(b"\x4cabc") == OpusPacket(0x4C, (b"abc",))  # stereo flag stays
    assert parse_opus_packet(b"\x49abcd") == OpusPacket(0x48, (b"ab", b"cd"))
    assert parse_opus_packet(b"\x4a\x01abc") == OpusPacket(0x48, (b"a", b"bc"))
    assert parse_opus_packet(b"\x4b\x03abcdef") == OpusPacket(0x48, (b"ab", b"cd", b"ef"))
    assert parse_opus_packet(b"\x4b\x83\x01\x02abcdef") == OpusPacket(0x48, (b"a", b"bc", b"def"))
    assert parse_opus_packet(b"\x4b\x41\x02abcXY") == OpusPacket(0x48, (b"abc",), b"XY")


def test_frame_lengths_of_two_bytes() -> None:
    # 252 + 4 * 12 = 300
    packet = b"\x4a\xfc\x0c" + b"a" * 300 + b"b"
    assert parse_opus_packet(packet) == OpusPacket(0x48, (b"a" * 300, b"b"))
    assert build_opus_packet(0x48, (b"a" * 300, b"b")) == packet


@pytest.mark.parametrize("length", [0, 1, 251, 252, 253, 255, 256, 1275])
def test_every_frame_length_coding(length: int) -> None:
    packet = OpusPacket(0x48, (b"a" * length, b"bb", b"c"))
    assert parse_opus_packet(build_opus_packet(packet.toc, packet.frames)) == packet


def test_builds_the_shortest_form() -> None:
    assert build_opus_packet(0x4B, (b"abc",)) == b"\x48abc"
    assert build_opus_packet(0x48, (b"ab", b"cd")) == b"\x49abcd"
    assert build_opus_packet(0x48, (b"ab", b"cd", b"ef")) == b"\x4b\x03abcdef"


INVALID = [
    (b"", TruncatedPacketError, "opus packet toc missing: the packet is empty"),
    (b"\x48" + bytes(1276), PayloadTooLargeError, "opus packet frame of 1276 bytes is over 1275"),
    (b"\x49abc", MalformedPacketError, "opus packet length 4 is even, code 1 needs two equal frames"),
    (b"\x49" + bytes(2552), PayloadTooLargeError, "opus packet frame of 1276 bytes is over 1275"),
    (b"\x4a", TruncatedPacketError, "opus packet frame length missing"),
    (b"\x4a\xfc", TruncatedPacketError, "opus packet frame length missing"),
    (b"\x4a\x05abcd", TruncatedPacketError, "opus packet frame length 5 exceeds the 4 bytes left"),
    (b"\x4b", TruncatedPacketError, "opus packet frame count missing: code 3 needs two bytes"),
    (b"\x4b\x00", MalformedPacketError, "opus packet frame count 0, at least 1 is needed"),
    (b"\x4b\x41", TruncatedPacketError, "opus packet padding length missing"),
    (b"\x4b\x41\xff", TruncatedPacketError, "opus packet padding length missing"),
    (b"\x4b\x41\x04abc", TruncatedPacketError, "opus packet padding of 4 bytes exceeds the packet"),
    (b"\x4b\x03abcd", MalformedPacketError, "opus packet has 4 frame bytes, not a multiple of 3 frames"),
    (b"\x4b\x83\x01", TruncatedPacketError, "opus packet frame length missing"),
    (b"\x4b\x82\x04abc", TruncatedPacketError, "opus packet frame length 4 exceeds the 3 bytes left"),
    # The length byte of a frame may not lie in the padding.
    (b"\x4b\xc2\x01\x00", TruncatedPacketError, "opus packet frame length missing"),
    (b"\x5b\x03", MalformedPacketError, "opus packet duration 180 ms is over 120 ms"),
    (b"\xfb\x07", MalformedPacketError, "opus packet duration 140 ms is over 120 ms"),
]


@pytest.mark.parametrize(("packet", "error", "message"), INVALID)
def test_invalid_packets(packet: bytes, error: type[ProtocolError], message: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        parse_opus_packet(packet)


@pytest.mark.parametrize("frames", [(), (b"",) * 49, (bytes(1276),)])
def test_impossible_frames_are_refused(frames: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match=r"^an opus packet holds 1\.\.48 frames of at most 1275 bytes$"):
        build_opus_packet(0x48, frames)
