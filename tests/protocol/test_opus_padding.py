"""Data in the padding of Opus packets comes back, and the frames are what they were."""

from __future__ import annotations

import pytest

from protocol.errors import MalformedPacketError, PayloadTooLargeError, TruncatedPacketError
from protocol.opus_packet import parse_opus_packet
from protocol.opus_padding import (
    MAX_PAYLOAD_BYTES,
    PlainOpus,
    add_padding,
    comfort_noise_packet,
    empty_packet,
    split_padding,
)

PACKETS = {
    "code 0": b"\x48" + b"s" * 57,
    "code 0 empty": b"\x48",
    "code 1": b"\x49" + b"ab" * 30,
    "code 2": b"\x4a\x05" + b"a" * 5 + b"b" * 50,
    "code 3 CBR, one frame": b"\x4b\x01" + b"s" * 57,
    "code 3 CBR": b"\x4b\x03" + b"abcdef" * 10,
    "code 3 CBR, zero padding": b"\x4b\x43\x02" + b"abcdef" * 10 + b"\0\0",
    "code 3 VBR": b"\x4b\x83\x01\x02" + b"a" + b"bb" + b"ccc",
    "code 3 VBR, empty frame first": b"\x4b\x82\x00" + b"ccc",
    "code 3 VBR, zero padding": b"\x4b\xc2\x01\x01" + b"accc" + b"\0",
}


@pytest.mark.parametrize("length", [0, 1, 2, 12, 252, 253, 254, 255, 256, 507, 508, 509, 762, 763])
@pytest.mark.parametrize("name", PACKETS)
def test_round_trip(name: str, length: int) -> None:
    packet = PACKETS[name]
    data = bytes(1 + index % 255 for index in range(length))
    padded = add_padding(packet, data)
    stripped, found = split_padding(padded)
    assert found == data
    assert parse_opus_packet(padded).frames == parse_opus_packet(packet).frames
    assert parse_opus_packet(stripped.data).frames == parse_opus_packet(packet).frames
    assert parse_opus_packet(stripped.data).toc == parse_opus_packet(packet).toc
    assert stripped.duration_ticks == parse_opus_packet(packet).duration_ticks
    if data:
        assert parse_opus_packet(stripped.data).padding == b""


@pytest.mark.parametrize(("length", "overhead"), [(1, 2), (12, 2), (254, 2), (255, 3), (508, 3), (509, 4)])
def test_overhead_on_a_single_frame(length: int, overhead: int) -> None:
    packet = PACKETS["code 0"]
    assert len(add_padding(packet, b"x" * length)) == len(packet) + length + overhead


def test_bytes_of_rfc_6716_section_3_2_5() -> None:
    assert add_padding(b"\x48ab", b"\0\x11x") == b"\x4b\x41\x03ab\0\x11x"
    # 255 bytes: 254 for the first length byte, one more.
    assert add_padding(b"\x48ab", b"x" * 255).startswith(b"\x4b\x41\xff\x01ab")
    assert add_padding(b"\x48ab", b"x" * 254).startswith(b"\x4b\x41\xfeab")


def test_no_data_leaves_the_packet_alone() -> None:
    for packet in PACKETS.values():
        assert add_padding(packet, b"") is packet


def test_zero_padding_of_libopus_is_no_data() -> None:
    assert split_padding(b"\x4b\x41\x03ab\0\0\0") == (PlainOpus(b"\x48ab", 960, is_empty=False), b"")
    assert split_padding(b"\x4b\x41\x00ab") == (PlainOpus(b"\x4b\x41\x00ab", 960, is_empty=False), b"")


def test_data_is_not_added_twice() -> None:
    once = add_padding(b"\x48ab", b"\0\x11x")
    with pytest.raises(MalformedPacketError, match=r"^opus packet padding holds 3 bytes of data already$"):
        add_padding(once, b"y")


def test_limit_of_a_datagram() -> None:
    # TOC, count, five length bytes, two bytes of sound, data
    assert len(add_padding(b"\x48ab", b"x" * (MAX_PAYLOAD_BYTES - 9))) == MAX_PAYLOAD_BYTES
    with pytest.raises(PayloadTooLargeError, match=r"^opus packet padded length 1201 is over 1200$"):
        add_padding(b"\x48ab", b"x" * (MAX_PAYLOAD_BYTES - 8))


def test_garbage_is_refused_by_all() -> None:
    with pytest.raises(TruncatedPacketError):
        split_padding(b"")
    with pytest.raises(TruncatedPacketError):
        add_padding(b"\x4b", b"x")


@pytest.mark.parametrize(
    ("packet", "ticks"),
    [(b"\x48a", 960), (b"\x58a", 2880), (b"\x59aa", 5760), (b"\x4b\x03", 2880), (b"\xe0a", 120)],
)
def test_durations(packet: bytes, ticks: int) -> None:
    assert split_padding(packet)[0].duration_ticks == parse_opus_packet(packet).duration_ticks == ticks


def test_silence() -> None:
    toc = b"\x5b\x01..."[0]
    assert comfort_noise_packet(toc) == b"\x58"
    assert empty_packet(toc, b"\0\x11x") == b"\x5b\x41\x03\0\x11x"
    assert split_padding(empty_packet(toc, b"\0\x11x")) == (PlainOpus(b"\x58", 2880, is_empty=True), b"\0\x11x")
    assert split_padding(b"\x58") == (PlainOpus(b"\x58", 2880, is_empty=True), b"")
    assert not split_padding(b"\x58a")[0].is_empty
