"""RTCP without a network: thinning, loss, jitter and round trip."""

from __future__ import annotations

import random
import struct
from itertools import pairwise

import pytest

from talkface.rtc.rtcp import GOODBYE, RECEIVER_REPORT, SENDER_REPORT, ReceptionStatistics, RtcpThinner, parse_rtcp

S = 1_000_000


def sender_report(ntp: int = 0x0102030405060708, packets: int = 5) -> bytes:
    """SR without blocks, then the SDES that aiortc appends."""
    report = struct.pack("!BBHIQIII", 0x80, SENDER_REPORT, 6, 77, ntp, 0, packets, 100)
    return report + struct.pack("!BBHI", 0x81, 202, 2, 77) + b"\x01\x02ab"


def packet(statistics: ReceptionStatistics, number: int, arrival_us: int, ssrc: int = 9) -> None:
    statistics.packet_received(ssrc, number % 65536, number * 2880 % 2**32, arrival_us)


def test_one_packet_per_kind_and_interval_without_the_cname() -> None:
    thinner = RtcpThinner(5.0)
    assert thinner.admit(sender_report(), 0) == sender_report()[:28]
    assert thinner.admit(sender_report(), 4 * S) is None
    receiver = struct.pack("!BBHI", 0x80, RECEIVER_REPORT, 1, 77)
    assert thinner.admit(receiver, 4 * S) == receiver
    assert thinner.admit(sender_report(), 5 * S) == sender_report()[:28]


def test_goodbye_always_passes_and_an_empty_sender_report_never() -> None:
    thinner = RtcpThinner(5.0)
    goodbye = struct.pack("!BBHI", 0x81, GOODBYE, 1, 77)
    assert thinner.admit(goodbye, 0) == thinner.admit(goodbye, 1) == goodbye
    assert thinner.admit(sender_report(packets=0), 0) is None
    assert thinner.admit(sender_report(), 1) is not None


def test_round_trip_is_send_time_to_report_less_the_far_ends_delay() -> None:
    thinner, far = RtcpThinner(5.0), ReceptionStatistics(5.0)
    thinner.admit(sender_report(), 10 * S)
    packet(far, 1, 10 * S)
    far.sender_report_received(parse_rtcp(sender_report()[:28]).last_sender_report or 0, 10 * S + 300_000)
    report = far.receiver_report(1, 16 * S)
    assert report is not None
    (block,) = parse_rtcp(report).blocks
    assert thinner.reception_report(block, 16 * S + 300_000).round_trip_ms == pytest.approx(600, abs=0.1)


def test_unknown_sender_report_gives_no_round_trip() -> None:
    far = ReceptionStatistics(5.0)
    packet(far, 1, 0)
    report = far.receiver_report(1, 5 * S)
    assert report is not None
    assert RtcpThinner(5.0).reception_report(parse_rtcp(report).blocks[0], 0).round_trip_ms is None


def test_fraction_lost_counts_since_the_last_report_and_across_the_wrap() -> None:
    statistics = ReceptionStatistics(5.0)
    now = 0
    fractions = []
    for index in range(300):
        number, now = 65_400 + index, index * 60_000
        if 100 <= index < 200 and index % 4 == 0:
            continue
        packet(statistics, number, now)
        if index % 100 == 99:
            report = statistics.receiver_report(1, now)
            assert report is not None
            fractions.append(parse_rtcp(report).blocks[0].fraction_lost)
    assert fractions == [0, 64, 0]


def test_reports_come_once_per_interval_and_early_when_loss_begins() -> None:
    statistics = ReceptionStatistics(5.0)
    assert statistics.receiver_report(1, 100 * S) is None, "nothing received yet"
    reports = []
    for index in range(400):
        now = index * 60_000
        if not (index >= 200 and index % 10 == 0):
            packet(statistics, index, now)
        if statistics.receiver_report(1, now) is not None:
            reports.append(now / S)
    assert reports[:2] == pytest.approx([5.04, 10.08], abs=0.1)
    assert reports[2] == pytest.approx(12.1, abs=0.2), "one packet lost at 12.0 s is reported at once"
    assert all(b - a >= 5 for a, b in pairwise(reports[2:])), "but only the beginning"


def test_duplicates_do_not_make_loss_negative_and_jitter_is_the_rfcs() -> None:
    statistics = ReceptionStatistics(5.0)
    for index in range(200):
        packet(statistics, index, index * 60_000 + (index % 2) * 10_000)
        packet(statistics, index, index * 60_000 + (index % 2) * 10_000)
    report = statistics.receiver_report(1, 12 * S)
    assert report is not None
    (block,) = parse_rtcp(report).blocks
    assert block.fraction_lost == 0
    assert 100 < block.jitter_ticks < 480, "half of the steps are 10 ms = 480 ticks"


def test_a_new_ssrc_starts_afresh() -> None:
    statistics = ReceptionStatistics(5.0)
    packet(statistics, 10, 0, ssrc=1)
    packet(statistics, 60_000, 60_000, ssrc=2)
    report = statistics.receiver_report(1, 6 * S)
    assert report is not None
    (block,) = parse_rtcp(report).blocks
    assert (block.ssrc, block.fraction_lost) == (2, 0)


def test_mutated_rtcp_raises_only_value_error() -> None:
    statistics = ReceptionStatistics(5.0)
    packet(statistics, 1, 0)
    report = statistics.receiver_report(1, 6 * S)
    assert report is not None
    seeds = [sender_report(), report, sender_report()[:28] + report]
    rng = random.Random(4)
    survivors = 0
    for _ in range(10_000):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            parse_rtcp(bytes(data[: rng.randint(0, len(data))]))
            survivors += 1
        except ValueError:
            pass
    assert 0 < survivors < 10_000
