"""From what the ends of a call counted to its report."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from talkface.machine import describe_machine
from talkface.report.report import (
    AudioReport,
    ComponentReport,
    DirectionReport,
    Percentiles,
    Report,
    Series,
    SkewReport,
    VideoReport,
    WireReport,
    percentiles,
    thin,
)
from talkface.side_record import SideRecord

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
        sender: the end whose wire is reported; of a single end, the same record as `receiver`.
        receiver: the end that heard and drew. Latency is measured when it is another end of this machine.
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
        duration_s=wire["duration_s"],
        talk_s=wire["talk_s"],
        wire=WireReport(up=_direction(wire["up"]), down=_direction(wire["down"])),
        setup_bytes=wire["setup_bytes"],
        identity_bytes=wire["identity_bytes"],
        audio=_audio(sender, receiver, [us / 1000 for _, us in latencies]),
        video=_video(receiver.receiving.get("video", {})),
        av_skew_ms=SkewReport(**receiver.receiving.get("av_skew_ms", {"p50": None, "p95": None, "max": None})),
        runtime=receiver.runtime,
        machine=describe_machine(),
        reconnects=max(record.reconnects for record in records),
        memory_mb={_end_name(record): percentiles([mb for _, mb in record.memory]) for record in records},
        network=network or {},
        series=_series(records, sender, latencies),
        notes=list(dict.fromkeys([*(notes or []), *sender.notes, *receiver.notes])),
    )


def latency_us(sent: list[tuple[int, int]], ready: list[tuple[int, int]]) -> list[tuple[int, int]]:
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


def _direction(data: dict[str, Any]) -> DirectionReport:
    components = {name: ComponentReport(**part) for name, part in data["components"].items()}
    return DirectionReport(
        kbps=data["kbps"],
        talking_kbps=data["talking_kbps"],
        bytes=data["bytes"],
        datagrams=data["datagrams"],
        components=components,
    )


def _audio(sender: SideRecord, receiver: SideRecord, latencies_ms: list[float]) -> AudioReport:
    heard = receiver.receiving.get("audio", {})
    return AudioReport(
        packets_sent=sender.sending.get("packets_sent", 0),
        packets_received=heard.get("packets_received", 0),
        lost=heard.get("lost", 0),
        late=heard.get("late", 0),
        repaired=heard.get("repaired", 0),
        concealed_ms=heard.get("concealed_ms", 0.0),
        longest_stall_ms=heard.get("longest_stall_ms", 0.0),
        latency_ms=percentiles(latencies_ms),
    )


def _video(shown: dict[str, Any]) -> VideoReport:
    return VideoReport(
        frames_expected=shown.get("frames_expected", 0),
        frames_shown=shown.get("frames_shown", 0),
        fps=shown.get("fps", 0.0),
        render_ms=Percentiles(**shown.get("render_ms", {"p50": None, "p95": None})),
    )


def _series(records: tuple[SideRecord, ...], sender: SideRecord, latencies: list[tuple[int, int]]) -> dict[str, Series]:
    curves: dict[str, Series] = {}
    if sender.wire_up:
        curves["wire_up_kbps"] = thin(*zip(*sender.wire_up, strict=True))
    if latencies:
        seconds = [(time_us - sender.start_us) / 1e6 for time_us, _ in latencies]
        curves["latency_ms"] = thin(seconds, [us / 1000 for _, us in latencies])
    for record in records:
        if record.memory:
            curves[f"memory_{_end_name(record)}_mb"] = thin(*zip(*record.memory, strict=True))
    return curves


def _end_name(record: SideRecord) -> str:
    return {"send": "sender", "receive": "receiver"}.get(record.role, record.role)
