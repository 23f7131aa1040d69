"""From the counts of two sides to a report: matching of packets, and what a single side can say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from receiver.session_stats import (
    AudioStats,
    ControlStats,
    ReceivingStats,
    RenderTimes,
    SinkStats,
    SkewStats,
    StyleStats,
    VideoStats,
)
from sender.peer_link import ControlCounts
from sender.session_stats import SendingStats
from sender.sources.style import PictureStats
from talkface.report.build import build_report, latency_us
from talkface.report.report import Percentiles, SkewReport, VideoReport
from talkface.rtc.wire.meter import COMPONENTS
from talkface.rtc.wire.totals import ComponentTotals, DirectionTotals, WireTotals
from talkface.side.record import SideRecord, read_record


def _wire(opus_bytes: int = 1_000) -> WireTotals:
    def direction(size: int) -> DirectionTotals:
        nothing = ComponentTotals(bytes=0, kbps=0.0, talking_kbps=0.0)
        parts = dict.fromkeys(COMPONENTS, nothing)
        parts["opus"] = ComponentTotals(bytes=size, kbps=size * 8e-3, talking_kbps=size * 8e-3)
        return DirectionTotals(kbps=size * 8e-3, talking_kbps=size * 8e-3, bytes=size, datagrams=9, components=parts)

    return WireTotals(
        duration_s=1.0,
        talk_s=0.9,
        heard_talk_s=0.0,
        setup_bytes=3_000,
        identity_bytes=2_000,
        up=direction(opus_bytes),
        down=direction(0),
    )


def _receiving() -> ReceivingStats:
    audio = AudioStats(
        packets_received=3,
        lost=1,
        late=0,
        duplicates=0,
        repaired=1,
        concealed_ms=60.0,
        comfort_noise_ms=0.0,
        outage_ms=0.0,
        longest_stall_ms=5.0,
        longest_sound_stall_ms=5.0,
        longest_picture_stall_ms=4.0,
        playout_delay_ms=None,
        target_delay_ms=40.0,
        clock_skew_ppm=0.0,
        resyncs=0,
        skipped_ms=0.0,
        malformed=0,
        stray=0,
        undecodable=0,
    )
    video = VideoStats(
        frames_expected=25,
        frames_shown=24,
        fps=24.0,
        render_ms=RenderTimes(8.0, 9.0),
        frames_drawn=24,
        dropped=0,
        overdue=0,
        too_late=0,
        superseded=0,
        failed=0,
        without_received_style=0,
        first_shown_us=1_140_000,
    )
    return ReceivingStats(
        duration_s=1.0,
        audio=audio,
        video=video,
        av_skew_ms=SkewStats(1.0, 2.0, 3.0),
        style=StyleStats(decoded=9, malformed=0, waiting=0, bad_blocks=0),
        control=ControlStats(received=2, malformed=0, flooded=0, refused_identities=0, identity_was_cached=False),
        presentation_delay_ms=120.0,
        runtime="torch cpu fp32",
        sinks=SinkStats(dropped_frames=0, dropped_audio=0),
        identity="Ann",
        notes=("a note",),
    )


def _sending(packets_sent: int, pictures: PictureStats | None = None) -> SendingStats:
    return SendingStats(
        duration_s=1.0,
        talk_s=0.9,
        packets_sent=packets_sent,
        packets_unsent=0,
        speech_packets=packets_sent,
        lookback_packets=0,
        opus_bytes=1_000,
        style_bytes=100,
        redundancy_bytes=0,
        style_blocks=5,
        style_payload_bytes=80,
        style_over_budget=0,
        style="live",
        pictures=pictures,
        encoder="libopus",
        preset="default",
        redundancy=False,
        lips=True,
        plan_changes=0,
        links=1,
        clock_slips=0,
        control=ControlCounts(),
        reported_loss=None,
        round_trip_ms=40.0,
    )


def test_latency_is_matched_by_timestamp() -> None:
    sent = [(100, 1_000_000), (4_294_967_200, 1_060_000), (1_400, 1_120_000)]
    ready = [(4_294_967_200, 1_105_000), (100, 1_040_000), (77, 5)]
    assert latency_us(sent, ready) == [(1_000_000, 40_000), (1_060_000, 45_000)]


def test_latency_never_is_negative_or_absurd() -> None:
    assert latency_us([(1, 1_000), (2, 0)], [(1, 900), (2, 61_000_000)]) == []


def test_packet_that_came_twice_counts_once() -> None:
    assert latency_us([(1, 0), (1, 10_000)], [(1, 40_000), (1, 45_000)]) == [(0, 40_000)]


def test_two_sides_make_one_report() -> None:
    sender = SideRecord(
        role="send",
        preset="good",
        style="live",
        weights="tiny",
        wire=_wire(),
        sending=_sending(4),
        sent=tuple((i * 2880, i * 60_000) for i in range(4)),
        memory=((1.0, 100.0), (2.0, 110.0)),
        wire_up=((1.0, 15.0), (2.0, 16.0)),
    )
    receiver = SideRecord(
        role="receive",
        runtime="torch cpu fp32",
        wire=_wire(0),
        receiving=_receiving(),
        ready=tuple((i * 2880, i * 60_000 + 41_000 + i * 1_000) for i in range(3)),
        memory=((1.0, 300.0),),
        reconnects=2,
        notes=("a note",),
    )
    report = build_report(sender, receiver, command="talkface loopback", network={"loss": 0.1}, notes=["a note", "b"])
    assert (report.preset, report.style, report.runtime) == ("good", "live", "torch cpu fp32")
    assert report.audio.latency_ms.p50 == 42.0
    assert (report.audio.packets_sent, report.audio.packets_received, report.audio.lost) == (4, 3, 1)
    assert report.video == VideoReport(
        frames_expected=25, frames_shown=24, fps=24.0, render_ms=Percentiles(p50=8.0, p95=9.0)
    )
    assert report.av_skew_ms == SkewReport(p50=1.0, p95=2.0, max=3.0)
    assert report.wire.up.components["opus"].bytes == 1_000
    assert report.memory_mb["sender"].p50 == 105.0
    assert report.memory_mb["receiver"].p50 == 300.0
    assert report.reconnects == 2
    assert report.notes == ["a note", "b"]
    assert report.series["latency_ms"].values == [41.0, 42.0, 43.0]


def test_single_side_leaves_latency_out() -> None:
    record = SideRecord(role="receive", wire=_wire(), receiving=_receiving(), sent=((1, 1),), ready=((1, 2),))
    report = build_report(record, record, command="talkface receive")
    assert report.audio.latency_ms.p50 is None
    assert report.audio.packets_sent == 0
    assert report.video.frames_shown == 24


def test_side_that_only_spoke_has_no_picture() -> None:
    record = SideRecord(role="send", wire=_wire(), sending=_sending(7))
    report = build_report(record, record, command="talkface send")
    assert (report.audio.packets_sent, report.audio.packets_received, report.audio.concealed_ms) == (7, 0, 0.0)
    assert (report.video.frames_expected, report.video.render_ms.p50, report.av_skew_ms.p50) == (0, None, None)


FULL = SideRecord(
    role="call",
    wire=_wire(),
    sent=((1, 2), (3, 4)),
    memory=((1.0, 2.5),),
    notes=("n",),
    sending=_sending(3, PictureStats(frames_encoded=2, failure="no face in the picture")),
    receiving=_receiving(),
)


def test_record_reads_back(tmp_path: Path) -> None:
    for record in (FULL, SideRecord(role="send", wire=_wire())):
        record.write(tmp_path / "a.json")
        assert read_record(tmp_path / "a.json") == record


@pytest.mark.parametrize("part", ["sending", "receiving", "wire"])
@pytest.mark.parametrize("change", ["misspelt", "missing"])
def test_names_of_a_record_are_strict(tmp_path: Path, part: str, change: str) -> None:
    """A statistic that another version calls otherwise is an error, not 0."""
    path = tmp_path / "a.json"
    FULL.write(path)
    data = json.loads(path.read_text())
    value = data[part].pop("duration_s")
    if change == "misspelt":
        data[part]["duration"] = value
    path.write_text(json.dumps(data))
    problem = "duration is unknown" if change == "misspelt" else "duration_s is missing"
    with pytest.raises(ValueError, match=rf"record\.{part}: {problem}"):
        read_record(path)


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"record_version": 7}', '{"record_version": 3, "bogus": 2}'])
def test_other_files_are_no_records(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"record|Expecting"):
        read_record(path)


def test_missing_record_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gone\.json is no record"):
        read_record(tmp_path / "gone.json")


def test_records_are_plain_json(tmp_path: Path) -> None:
    SideRecord(role="send", wire=_wire()).write(tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text())["role"] == "send"
