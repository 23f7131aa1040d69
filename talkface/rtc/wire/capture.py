"""Reads packet captures (classic pcap, as `tcpdump -w` writes) and sums a call's bytes by component.

The independent witness for the wire meter: it sees what the kernel put on the interface and nothing of our program.
What is encrypted stays so: an RTP payload (sound, style, redundancy) is one number here.

    tcpdump -i lo -w call.pcap udp         # during a call
    python -m talkface.rtc.wire.capture call.pcap   # what each sender cost
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import struct
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from talkface.rtc.wire.datagram import DatagramKind, datagram_kind, rtp_header_bytes

_MAGICS = {
    b"\xd4\xc3\xb2\xa1": ("<", 1e-6),
    b"\xa1\xb2\xc3\xd4": (">", 1e-6),
    b"\x4d\x3c\xb2\xa1": ("<", 1e-9),
    b"\xa1\xb2\x3c\x4d": (">", 1e-9),
}
_ETHERNET, _RAW_IP, _LINUX_COOKED = 1, 101, 113
_LINK_HEADER_BYTES = {_ETHERNET: 14, _RAW_IP: 0, _LINUX_COOKED: 16}
_UDP = 17
TALKING_PAYLOAD_BYTES = 24
"""A larger RTP payload is speech; comfort noise has 1 byte, style in silence up to 23."""


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


@dataclass(frozen=True, slots=True)
class CapturedRates:
    """What one sender cost from its first RTP packet to its last; DTLS (set-up, identity) left out."""

    seconds: float
    kbps: float
    talking_seconds: float
    """Sound in packets whose payload is larger than `TALKING_PAYLOAD_BYTES`."""
    talking_kbps: float
    """Bytes sent while the last RTP packet was such a one, over `talking_seconds`."""


def measure_rates(datagrams: Iterable[CapturedDatagram], srtp_tag_bytes: int, packet_ms: int) -> CapturedRates:
    """Rates of the datagrams of one sender, in order; `packet_ms` is the sound per packet."""
    first_s = last_s = None
    total = talking = talking_packets = 0
    is_talking = False
    for datagram in datagrams:
        kind = datagram_kind(datagram.payload)
        if kind is DatagramKind.RTP:
            first_s = datagram.time_s if first_s is None else first_s
            last_s = datagram.time_s
            payload = len(datagram.payload) - rtp_header_bytes(datagram.payload) - srtp_tag_bytes
            is_talking = payload > TALKING_PAYLOAD_BYTES
            talking_packets += is_talking
        if first_s is None or kind is DatagramKind.DTLS:
            continue
        total += datagram.ip_bytes
        talking += datagram.ip_bytes if is_talking else 0
    seconds = (last_s - first_s if last_s is not None and first_s is not None else 0.0) + packet_ms / 1000
    talking_seconds = talking_packets * packet_ms / 1000
    return CapturedRates(
        seconds=round(seconds, 2),
        kbps=round(total * 8 / seconds / 1000, 2),
        talking_seconds=round(talking_seconds, 2),
        talking_kbps=round(talking * 8 / talking_seconds / 1000, 2) if talking_seconds else 0.0,
    )


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


def main(arguments: list[str] | None = None) -> int:
    """Print, as JSON, what each sender of RTP in a capture cost; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m talkface.rtc.wire.capture", description="What a captured call cost."
    )
    parser.add_argument("pcap", type=Path, help="classic pcap file, as tcpdump -w writes")
    parser.add_argument("--srtp-tag-bits", type=int, default=80, choices=(32, 80), help="32 for the minimum preset")
    parser.add_argument("--packet-ms", type=int, default=60, help="sound per packet; 120 for the minimum preset")
    parsed = parser.parse_args(arguments)
    tag_bytes = parsed.srtp_tag_bits // 8
    by_source: dict[str, list[CapturedDatagram]] = {}
    try:
        for datagram in read_pcap(parsed.pcap):
            host, port = datagram.source
            by_source.setdefault(f"{host}:{port}", []).append(datagram)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    result = {}
    for source, datagrams in by_source.items():
        seen = next(iter(sum_bytes(datagrams, tag_bytes).values()))
        if seen.datagrams[DatagramKind.RTP]:
            rates = measure_rates(datagrams, tag_bytes, parsed.packet_ms)
            parts = {name: getattr(seen, name) for name in CapturedBytes.__slots__ if name != "datagrams"}
            result[source] = {"rates": asdict(rates), "bytes": parts}
    print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
