"""From the counts of two ends to a report: matching of packets, and what a single end can say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from talkface.report.build import build_report, latency_us
from talkface.rtc.wire_meter import COMPONENTS
from talkface.side_record import SentLog, SideRecord, read_record


def _wire(opus_bytes: int = 1_000) -> dict[str, Any]:
    def direction(size: int) -> dict[str, Any]:
        parts = {name: {"bytes": 0, "kbps": 0.0, "talking_kbps": 0.0} for name in COMPONENTS}
        parts["opus"] = {"bytes": size, "kbps": size * 8e-3, "talking_kbps": size * 8e-3}
        return {"kbps": size * 8e-3, "talking_kbps": size * 8e-3, "bytes": size, "datagrams": 9, "components": parts}

    return {
        "duration_s": 1.0,
        "talk_s": 0.9,
        "heard_talk_s": 0.0,
        "setup_bytes": 3_000,
        "identity_bytes": 2_000,
        "up": direction(opus_bytes),
        "down": direction(0),
    }


def _receiving() -> dict[str, Any]:
    return {
        "audio": {
            "packets_received": 3,
            "lost": 1,
            "late": 0,
            "repaired": 1,
            "concealed_ms": 60.0,
            "longest_stall_ms": 5.0,
        },
        "video": {"frames_expected": 25, "frames_shown": 24, "fps": 24.0, "render_ms": {"p50": 8.0, "p95": 9.0}},
        "av_skew_ms": {"p50": 1.0, "p95": 2.0, "max": 3.0},
    }


def test_latency_is_matched_by_timestamp() -> None:
    sent = [(100, 1_000_000), (4_294_967_200, 1_060_000), (1_400, 1_120_000)]
    ready = [(4_294_967_200, 1_105_000), (100, 1_040_000), (77, 5)]
    assert latency_us(sent, ready) == [(1_000_000, 40_000), (1_060_000, 45_000)]


def test_latency_never_is_negative_or_absurd() -> None:
    assert latency_us([(1, 1_000), (2, 0)], [(1, 900), (2, 61_000_000)]) == []


def test_packet_that_came_twice_counts_once() -> None:
    assert latency_us([(1, 0), (1, 10_000)], [(1, 40_000), (1, 45_000)]) == [(0, 40_000)]


def test_two_ends_make_one_report() -> None:
    sender = SideRecord(role="send", preset="good", style="live", weights="tiny", start_us=0, wire=_wire())
    sender.sending = {"packets_sent": 4}
    sender.sent = [(i * 2880, i * 60_000) for i in range(4)]
    sender.memory, sender.wire_up = [(1.0, 100.0), (2.0, 110.0)], [(1.0, 15.0), (2.0, 16.0)]
    receiver = SideRecord(role="receive", runtime="torch cpu fp32", wire=_wire(0), receiving=_receiving())
    receiver.ready = [(i * 2880, i * 60_000 + 41_000 + i * 1_000) for i in range(3)]
    receiver.memory, receiver.reconnects, receiver.notes = [(1.0, 300.0)], 2, ["a note"]
    report = build_report(sender, receiver, command="talkface loopback", network={"loss": 0.1}, notes=["a note", "b"])
    assert (report.preset, report.style, report.runtime) == ("good", "live", "torch cpu fp32")
    assert report.audio.latency_ms.p50 == 42.0
    assert (report.audio.packets_sent, report.audio.packets_received, report.audio.lost) == (4, 3, 1)
    assert report.wire.up.components["opus"].bytes == 1_000
    assert report.memory_mb["sender"].p50 == 105.0
    assert report.memory_mb["receiver"].p50 == 300.0
    assert report.reconnects == 2
    assert report.notes == ["a note", "b"]
    assert report.series["latency_ms"].values == [41.0, 42.0, 43.0]


def test_single_end_leaves_latency_out() -> None:
    record = SideRecord(role="receive", wire=_wire(), receiving=_receiving())
    record.sent, record.ready = [(1, 1)], [(1, 2)]
    report = build_report(record, record, command="talkface receive")
    assert report.audio.latency_ms.p50 is None
    assert report.video.frames_shown == 24


def test_end_that_only_spoke_has_no_picture() -> None:
    report = build_report(
        *[SideRecord(role="send", wire=_wire(), sending={"packets_sent": 7})] * 2, command="talkface send"
    )
    assert (report.audio.packets_sent, report.video.frames_expected, report.av_skew_ms.p50) == (7, 0, None)


def test_record_reads_back(tmp_path: Path) -> None:
    record = SideRecord(role="send", wire=_wire(), sent=[(1, 2), (3, 4)], memory=[(1.0, 2.5)], notes=["n"])
    record.write(tmp_path / "a.json")
    assert read_record(tmp_path / "a.json") == record


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"record_version": 7}', '{"record_version": 1, "bogus": 2}'])
def test_other_files_are_no_records(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"record|Expecting"):
        read_record(path)


def test_missing_record_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gone\.json is no record"):
        read_record(tmp_path / "gone.json")


def test_sent_log_is_bounded_and_keeps_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SentLog, "CAPACITY", 4)
    log = SentLog()
    for i in range(7):
        log.add(i * 2880, i * 60_000)
    assert log.rows() == [(i * 2880, i * 60_000) for i in range(3, 7)]


def test_records_are_plain_json(tmp_path: Path) -> None:
    SideRecord(role="send", wire=_wire()).write(tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text())["role"] == "send"
