"""Reads packet captures (classic pcap, as `tcpdump -w` writes) and sums a call's bytes by component.

The independent witness for the wire meter: it sees what the kernel put on the interface and nothing of our program.
What is encrypted stays so: an RTP payload (sound, style, redundancy) is one number here.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from talkface.wire_meter import DatagramKind, datagram_kind, rtp_header_bytes

_MAGICS = {
    b"\xd4\xc3\xb2\xa1": ("<", 1e-6),
    b"\xa1\xb2\xc3\xd4": (">", 1e-6),
    b"\x4d\x3c\xb2\xa1": ("<", 1e-9),
    b"\xa1\xb2\x3c\x4d": (">", 1e-9),
}
_ETHERNET, _RAW_IP, _LINUX_COOKED = 1, 101, 113
_LINK_HEADER_BYTES = {_ETHERNET: 14, _RAW_IP: 0, _LINUX_COOKED: 16}
_UDP = 17


@dataclass(frozen=True, slots=True)
class CapturedDatagram:
    """One UDP datagram."""

    time_s: float
    source: tuple[str, int]
    destination: tuple[str, int]
    ip_bytes: int
    """Whole IP packet: headers and payload, no link layer."""
    payload: bytes
    """UDP payload, as far as it was captured."""


@dataclass(slots=True)
class CapturedBytes:
    """Bytes of one direction."""

    rtp_payload: int = 0
    rtp_header: int = 0
    srtp_tag: int = 0
    rtcp: int = 0
    stun: int = 0
    dtls: int = 0
    other: int = 0
    ip_udp: int = 0
    """IP and UDP headers of all of them."""
    datagrams: dict[DatagramKind, int] = field(default_factory=lambda: dict.fromkeys(DatagramKind, 0))

    @property
    def total(self) -> int:
        """Everything from IP upward."""
        parts = (self.rtp_payload, self.rtp_header, self.srtp_tag, self.rtcp, self.stun, self.dtls, self.other)
        return sum(parts) + self.ip_udp


def read_pcap(path: Path) -> Iterator[CapturedDatagram]:
    """UDP datagrams of a capture file, in order; other packets and fragments are skipped.

    Raises:
        ValueError: not a classic pcap file, or of a link type other than Ethernet, raw IP and Linux cooked.
    """
    data = path.read_bytes()
    if len(data) < 24 or data[:4] not in _MAGICS:
        raise ValueError(f"{path} is not a classic pcap file; write one with tcpdump -w")
    order, unit_s = _MAGICS[data[:4]]
    (link_type,) = struct.unpack_from(f"{order}I", data, 20)
    if link_type not in _LINK_HEADER_BYTES:
        raise ValueError(f"{path} has link type {link_type}; capture on an Ethernet, loopback or veth interface")
    at = 24
    while at + 16 <= len(data):
        seconds, fraction, captured, _ = struct.unpack_from(f"{order}IIII", data, at)
        frame = data[at + 16 : at + 16 + captured]
        at += 16 + captured
        datagram = _udp(frame[_LINK_HEADER_BYTES[link_type] :], seconds + fraction * unit_s)
        if datagram is not None:
            yield datagram


def _udp(packet: bytes, time_s: float) -> CapturedDatagram | None:
    if len(packet) >= 28 and packet[0] >> 4 == 4:
        header = 4 * (packet[0] & 15)
        ip_bytes, _, fragment = struct.unpack_from("!HHH", packet, 2)
        protocol, addresses = packet[9], (packet[12:16], packet[16:20])
        if fragment & 0x3FFF:
            return None
    elif len(packet) >= 48 and packet[0] >> 4 == 6:
        header, ip_bytes = 40, 40 + struct.unpack_from("!H", packet, 4)[0]
        protocol, addresses = packet[6], (packet[8:24], packet[24:40])
    else:
        return None
    if protocol != _UDP or len(packet) < header + 8:
        return None
    source_port, destination_port = struct.unpack_from("!HH", packet, header)
    source, destination = (str(ipaddress.ip_address(address)) for address in addresses)
    payload = packet[header + 8 : ip_bytes]
    return CapturedDatagram(time_s, (source, source_port), (destination, destination_port), ip_bytes, payload)


def sum_bytes(datagrams: Iterable[CapturedDatagram], srtp_tag_bytes: int) -> dict[str, CapturedBytes]:
    """Bytes by component for each source address."""
    sums: dict[str, CapturedBytes] = {}
    for datagram in datagrams:
        into = sums.setdefault(datagram.source[0], CapturedBytes())
        size = len(datagram.payload)
        kind = datagram_kind(datagram.payload)
        into.datagrams[kind] += 1
        into.ip_udp += datagram.ip_bytes - size
        if kind is DatagramKind.RTP:
            header = rtp_header_bytes(datagram.payload)
            into.rtp_header += header
            into.srtp_tag += srtp_tag_bytes
            into.rtp_payload += size - header - srtp_tag_bytes
        elif kind is DatagramKind.RTCP:
            into.rtcp += size
        elif kind is DatagramKind.STUN:
            into.stun += size
        elif kind is DatagramKind.DTLS:
            into.dtls += size
        else:
            into.other += size
    return sums
