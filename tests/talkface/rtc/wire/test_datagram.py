"""What a datagram is, told by its first bytes."""

from __future__ import annotations

import struct

from talkface.rtc.wire.datagram import DatagramKind, datagram_kind, rtp_header_bytes

STUN = b"\x00\x01" + bytes(86)
DTLS = b"\x17\xfe\xfd" + bytes(97)
RTCP = b"\x80\xc8" + bytes(40)
SRTP = struct.pack("!BBHII", 0x80, 0xE0, 1, 2880, 7) + bytes(68)


def test_kinds_of_datagrams() -> None:
    kinds = [datagram_kind(data) for data in (STUN, DTLS, SRTP, RTCP, b"\x40\x00\x00\x04abcd", b"", b"\xff")]
    expected = [DatagramKind.STUN, DatagramKind.DTLS, DatagramKind.RTP, DatagramKind.RTCP, DatagramKind.CHANNEL_DATA]
    assert kinds == [*expected, DatagramKind.OTHER, DatagramKind.OTHER]


def test_header_length_counts_sources_and_extension() -> None:
    assert rtp_header_bytes(SRTP) == 12
    assert rtp_header_bytes(b"\x91\x60" + bytes(10) + bytes(4) + b"\xbe\xde\x00\x01" + bytes(24)) == 12 + 4 + 8
    assert rtp_header_bytes(b"\x9f\x60" + bytes(10)) == 12, "a lying header is no longer than its datagram"
