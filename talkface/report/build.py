"""From what the sides of a call counted to its report."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version

from receiver.session_stats import ReceivingStats
from talkface.report.machine import describe_machine
from talkface.report.report import (
    AudioReport,
    Percentiles,
    Report,
    Series,
    SkewReport,
    VideoReport,
    WireReport,
    percentiles,
    thin,
)
from talkface.side.record import SideRecord

LATENCY_LIMIT_US = 60_000_000
"""A pair further apart than this is two packets whose timestamps met by accident."""


def build_report(
    sender: SideRecord,
    receiver: SideRecord,
    *,
    command: str,
    network: dict[str, float] | None = None,
    notes: list[str] | None = None,
) -> Report:
    """The report of a call.

    Args:
        sender: the side whose wire is reported; of a single side, the same record as `receiver`.
        receiver: the side that heard and drew. Latency is measured when it is another side on this machine.
    """
    is_loopback = sender is not receiver
    wire = sender.wire
    latencies = latency_us(sender.sent, receiver.ready) if is_loopback else []
    records = (sender, receiver) if is_loopback else (sender,)
    return Report(
        talkface_version=version("talkface"),
        command=command,
        preset=sender.preset,
        style=sender.style,
        weights=sender.weights,
        duration_s=wire.duration_s,
        talk_s=wire.talk_s,
        wire=WireReport(up=wire.up, down=wire.down),
        setup_bytes=wire.setup_bytes,
        identity_bytes=wire.identity_bytes,
        audio=_audio(sender, receiver, [us / 1000 for _, us in latencies]),
        video=_video(receiver.receiving),
        av_skew_ms=_skew(receiver.receiving),
        runtime=receiver.runtime,
        machine=describe_machine(),
        reconnects=max(record.reconnects for record in records),
        memory_mb={_side_name(record): percentiles([mb for _, mb in record.memory]) for record in records},
        network=network or {},
        series=_series(records, sender, latencies),
        notes=list(dict.fromkeys([*(notes or []), *sender.notes, *receiver.notes])),
    )


def latency_us(sent: Iterable[tuple[int, int]], ready: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """(send time, time from sending to sound ready) of every packet in both lists, in microseconds, by send time.

    Packets are matched by RTP timestamp. A packet that came twice counts once, from its first sending.
    """
    sent_us: dict[int, int] = {}
    for timestamp, time_us in sent:
        sent_us.setdefault(timestamp, time_us)
    pairs = []
    for timestamp, ready_us in ready:
        start_us = sent_us.pop(timestamp, None)
        if start_us is not None and 0 <= ready_us - start_us < LATENCY_LIMIT_US:
            pairs.append((start_us, ready_us - start_us))
    return sorted(pairs)


def _audio(sender: SideRecord, receiver: SideRecord, latencies_ms: list[float]) -> AudioReport:
    packets_sent = sender.sending.packets_sent if sender.sending is not None else 0
    latency_ms = percentiles(latencies_ms)
    if receiver.receiving is None:
        return AudioReport(
            packets_sent=packets_sent,
            packets_received=0,
            lost=0,
            late=0,
            repaired=0,
            concealed_ms=0.0,
            longest_stall_ms=0.0,
            latency_ms=latency_ms,
        )
    heard = receiver.receiving.audio
    return AudioReport(
        packets_sent=packets_sent,
        packets_received=heard.packets_received,
        lost=heard.lost,
        late=heard.late,
        repaired=heard.repaired,
        concealed_ms=heard.concealed_ms,
        longest_stall_ms=heard.longest_stall_ms,
        latency_ms=latency_ms,
    )


def _video(receiving: ReceivingStats | None) -> VideoReport:
    if receiving is None:
        return VideoReport(frames_expected=0, frames_shown=0, fps=0.0, render_ms=Percentiles(p50=None, p95=None))
    shown = receiving.video
    return VideoReport(
        frames_expected=shown.frames_expected,
        frames_shown=shown.frames_shown,
        fps=shown.fps,
        render_ms=Percentiles(p50=shown.render_ms.p50, p95=shown.render_ms.p95),
    )


def _skew(receiving: ReceivingStats | None) -> SkewReport:
    if receiving is None:
        return SkewReport(p50=None, p95=None, max=None)
    skew = receiving.av_skew_ms
    return SkewReport(p50=skew.p50, p95=skew.p95, max=skew.max)


def _series(records: tuple[SideRecord, ...], sender: SideRecord, latencies: list[tuple[int, int]]) -> dict[str, Series]:
    curves: dict[str, Series] = {}
    if sender.wire_up:
        curves["wire_up_kbps"] = thin(*zip(*sender.wire_up, strict=True))
    if latencies:
        seconds = [(time_us - sender.start_us) / 1e6 for time_us, _ in latencies]
        curves["latency_ms"] = thin(seconds, [us / 1000 for _, us in latencies])
    for record in records:
        if record.memory:
            curves[f"memory_{_side_name(record)}_mb"] = thin(*zip(*record.memory, strict=True))
    return curves


def _side_name(record: SideRecord) -> str:
    return {"send": "sender", "receive": "receiver"}.get(record.role, record.role)
