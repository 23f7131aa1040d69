"""Capture files: what is read, what is skipped, what is refused."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from talkface.rtc.wire.capture import main, measure_rates, read_pcap, sum_bytes
from talkface.rtc.wire.datagram import DatagramKind

RTP = b"\x80\xe0" + bytes(10) + bytes(58) + bytes(10)


def ipv4(payload: bytes, *, fragment: int = 0, protocol: int = 17) -> bytes:
    udp = struct.pack("!HHHH", 1000, 2000, 8 + len(payload), 0) + payload
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, fragment, 64, protocol, 0, b"\x0a\0\0\1", b"\x0a\0\0\2"
    )
    return head + udp


def ipv6(payload: bytes) -> bytes:
    udp = struct.pack("!HHHH", 1000, 2000, 8 + len(payload), 0) + payload
    return struct.pack("!IHBB", 0x60000000, len(udp), 17, 64) + bytes(15) + b"\1" + bytes(15) + b"\2" + udp


def pcap(path: Path, packets: list[bytes], *, link_type: int = 1, order: str = "<") -> Path:
    link = {1: bytes(14), 101: b"", 113: bytes(16)}.get(link_type, b"")
    data = struct.pack(f"{order}IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, link_type)
    for number, packet in enumerate(packets):
        frame = link + packet
        data += struct.pack(f"{order}IIII", number, 500_000, len(frame), len(frame)) + frame
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("link_type", [1, 101, 113])
def test_udp_datagrams_of_both_ip_versions(tmp_path: Path, order: str, link_type: int) -> None:
    found = list(read_pcap(pcap(tmp_path / "x", [ipv4(RTP), ipv6(RTP)], link_type=link_type, order=order)))
    assert [d.source for d in found] == [("10.0.0.1", 1000), ("::1", 1000)]
    assert [d.destination for d in found] == [("10.0.0.2", 2000), ("::2", 2000)]
    assert [d.ip_bytes for d in found] == [28 + len(RTP), 48 + len(RTP)]
    assert [d.time_s for d in found] == [0.5, 1.5]
    assert all(d.payload == RTP for d in found)


def test_other_traffic_fragments_and_stubs_are_skipped(tmp_path: Path) -> None:
    packets = [ipv4(RTP, protocol=6), ipv4(RTP, fragment=8), b"", b"\x45" + bytes(5), bytes(60), ipv4(RTP)]
    assert len(list(read_pcap(pcap(tmp_path / "x", packets)))) == 1
    whole = (tmp_path / "x").read_bytes()
    for length in range(24, len(whole), 7):
        (tmp_path / "cut").write_bytes(whole[:length])
        assert len(list(read_pcap(tmp_path / "cut"))) <= 1


def test_components_add_up(tmp_path: Path) -> None:
    packets = [
        ipv4(RTP),
        ipv4(b"\x80\xc8" + bytes(26)),
        ipv4(b"\0\1" + bytes(18)),
        ipv4(b"\x16" + bytes(99)),
        ipv4(b"\xff"),
    ]
    seen = sum_bytes(read_pcap(pcap(tmp_path / "x", packets)), 10)["10.0.0.1"]
    assert (seen.rtp_payload, seen.rtp_header, seen.srtp_tag) == (58, 12, 10)
    assert (seen.rtcp, seen.stun, seen.dtls, seen.other) == (28, 20, 100, 1)
    assert seen.ip_udp == 5 * 28
    assert seen.total == sum(len(packet) for packet in packets)
    assert seen.datagrams[DatagramKind.RTP] == 1


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ng").write_bytes(b"\x0a\x0d\x0d\x0a" + bytes(40))
    with pytest.raises(ValueError, match="is not a classic pcap file; write one with tcpdump -w"):
        list(read_pcap(tmp_path / "ng"))
    with pytest.raises(ValueError, match="has link type 105"):
        list(read_pcap(pcap(tmp_path / "wifi", [], link_type=105)))


def test_rates_count_from_the_first_packet_and_tell_talk_by_size(tmp_path: Path) -> None:
    quiet = RTP[:12] + b"\x58" + bytes(10)
    handshake, consent = b"\x16" + bytes(99), b"\0\1" + bytes(18)
    path = pcap(tmp_path / "x", [ipv4(p) for p in (consent, handshake, RTP, consent, RTP, handshake, quiet, consent)])
    rates = measure_rates(read_pcap(path), 10, 60)
    assert rates.seconds == 4.06, "packets of the test lie a second apart"
    assert rates.talking_seconds == 0.12
    talking = 2 * (28 + len(RTP)) + 48
    assert rates.talking_kbps == round(talking * 8 / 0.12 / 1000, 2)
    assert rates.kbps == round((talking + 28 + len(quiet) + 48) * 8 / 4.06 / 1000, 2)


def test_command_prints_each_sender(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(pcap(tmp_path / "x", [ipv4(RTP), ipv4(RTP)]))]) == 0
    assert json.loads(capsys.readouterr().out)["10.0.0.1:1000"]["bytes"]["rtp_payload"] == 116
    with pytest.raises(SystemExit):
        main([str(tmp_path / "none")])
    assert "No such file" in capsys.readouterr().err
