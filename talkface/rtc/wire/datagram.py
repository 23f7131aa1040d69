"""What a datagram on a WebRTC socket is, and what lies around its payload."""

from __future__ import annotations

import enum

IPV4_UDP_BYTES = 28
IPV6_UDP_BYTES = 48
IPV4_TCP_BYTES = 52
"""IPv4 and TCP with timestamps, per message to a TURN server over TCP; TCP's own acknowledgements go unseen."""


class DatagramKind(enum.Enum):
    """What a datagram on a WebRTC socket is (RFC 7983; RFC 5761 for RTCP)."""

    STUN = "stun"
    DTLS = "dtls"
    CHANNEL_DATA = "channel_data"
    RTP = "rtp"
    RTCP = "rtcp"
    OTHER = "other"


def datagram_kind(payload: bytes) -> DatagramKind:
    """Tell by the first two bytes."""
    first = payload[0] if payload else 255
    if first < 4:
        return DatagramKind.STUN
    if 20 <= first <= 63:
        return DatagramKind.DTLS
    if 64 <= first <= 79:
        return DatagramKind.CHANNEL_DATA
    if 128 <= first <= 191 and len(payload) >= 12:
        return DatagramKind.RTCP if 192 <= payload[1] <= 223 else DatagramKind.RTP
    return DatagramKind.OTHER


def rtp_header_bytes(packet: bytes) -> int:
    """Length of the RTP header with CSRCs and header extension (RFC 3550 section 5.1)."""
    length = 12 + 4 * (packet[0] & 15)
    if packet[0] & 16 and len(packet) >= length + 4:
        length += 4 + 4 * int.from_bytes(packet[length + 2 : length + 4], "big")
    return min(length, len(packet))
