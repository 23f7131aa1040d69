"""What the sending session counted, for records, reports and logs."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.rtp_time import RTP_CLOCK_HZ
from sender.packet_stream import PacketStream, PacketTotals
from sender.peer_link import ControlCounts, PeerLink
from sender.report_follower import ReportFollower
from sender.sources.style import PictureStats, StyleSource
from sender.style_scheduler import StyleTotals


@dataclass(frozen=True, slots=True, kw_only=True)
class SendingStats:
    """Everything since the first packet; plain values."""

    duration_s: float
    """Sound that went through the encoder."""
    talk_s: float
    """Sound in packets that carry coded speech."""
    packets_sent: int
    packets_unsent: int
    """Made while there was no link to take them."""
    speech_packets: int
    lookback_packets: int
    """Sent late, before the first word of a phrase."""
    opus_bytes: int
    style_bytes: int
    redundancy_bytes: int
    style_blocks: int
    style_payload_bytes: int
    style_over_budget: int
    """Blocks left out because the preset's rate was spent."""
    style: str
    """"live", "reference" or "none"."""
    pictures: PictureStats | None
    """Of live style."""
    encoder: str
    preset: str
    """Now; rate control may have left the one that was asked for."""
    redundancy: bool
    lips: bool
    plan_changes: int
    links: int
    clock_slips: int
    control: ControlCounts
    reported_loss: float | None
    """Share of packets, in the last report; None when there was none."""
    round_trip_ms: float | None


def sending_stats(
    stream: PacketStream | None, style: StyleSource, follower: ReportFollower, peer: PeerLink, num_slips: int
) -> SendingStats:
    """Of a session; `stream` is None before its first packet."""
    totals = stream.totals if stream is not None else PacketTotals()
    blocks = stream.style.totals if stream is not None and stream.style is not None else StyleTotals()
    plan, report = follower.plan, follower.last_report
    return SendingStats(
        duration_s=totals.total_ticks / RTP_CLOCK_HZ,
        talk_s=totals.talk_ticks / RTP_CLOCK_HZ,
        packets_sent=totals.num_packets - peer.num_unsent,
        packets_unsent=peer.num_unsent,
        speech_packets=totals.num_speech_packets,
        lookback_packets=totals.num_lookback_packets,
        opus_bytes=totals.opus_bytes,
        style_bytes=totals.style_bytes,
        redundancy_bytes=totals.redundancy_bytes,
        style_blocks=blocks.num_blocks,
        style_payload_bytes=blocks.num_payload_bytes,
        style_over_budget=blocks.num_over_budget,
        style=style.name,
        pictures=style.stats(),
        encoder=stream.encoder.name if stream is not None else "",
        preset=plan.preset.name,
        redundancy=plan.redundancy,
        lips=plan.with_lips,
        plan_changes=follower.num_plan_changes,
        links=peer.num_links,
        clock_slips=num_slips,
        control=peer.control,
        reported_loss=report.fraction_lost if report is not None else None,
        round_trip_ms=report.round_trip_ms if report is not None else None,
    )
