"""What a call cost and how well it went: the typed content of `report.json`.

Every number is counted or timed during the call; nothing here is an estimate. `talkface/report/build.py` fills it
from what the two ends wrote down, `terminal.py` and `html.py` beside this file show it.

Directions: *up* is away from the end that the report describes (in a loopback: sender to receiver).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from talkface.rtc.wire.totals import ComponentTotals, DirectionTotals
from talkface_core.whole_file import write_whole

REPORT_VERSION = 1

COMPONENT_LABELS: dict[str, str] = {
    "opus": "Opus sound",
    "style": "style (the face)",
    "redundancy": "redundancy",
    "rtp_header": "RTP header",
    "srtp_tag": "SRTP tag",
    "ip_udp": "IP and UDP",
    "rtcp": "RTCP",
    "stun": "STUN",
    "dtls_sctp": "DTLS and SCTP",
}
"""Component of `wire.up.components` to what people call it, in drawing order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WireReport:
    up: DirectionTotals
    down: DirectionTotals


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles:
    """Median and 95th percentile; None when nothing was measured."""

    p50: float | None
    p95: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SkewReport:
    """Shown frame's media time against the sound leaving at that moment, absolute, in ms."""

    p50: float | None
    p95: float | None
    max: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioReport:
    packets_sent: int
    packets_received: int
    """Distinct packets that arrived, in time or not."""
    lost: int
    """Packets that never arrived."""
    late: int
    """Packets that arrived after their playout time."""
    repaired: int
    """Packets played from the redundancy of their successor."""
    concealed_ms: float
    longest_stall_ms: float
    """Longest stretch with neither received, repaired nor concealed sound, or without a new frame."""
    latency_ms: Percentiles
    """Packet sent to its sound ready at the receiver, on one machine's monotonic clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoReport:
    frames_expected: int
    frames_shown: int
    fps: float
    render_ms: Percentiles


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineReport:
    """Where the call ran, so that numbers can be compared."""

    cpu: str
    cores: int
    memory_gb: float
    os: str
    python: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A curve over the call for plots: seconds since the start, and a value; at most `MAX_POINTS` points."""

    seconds: list[float]
    values: list[float]


MAX_POINTS = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The content of report.json; the field names are a contract (docs/report.md)."""

    report_version: int = REPORT_VERSION
    talkface_version: str
    command: str
    preset: str
    style: str
    weights: str
    duration_s: float
    talk_s: float
    wire: WireReport
    setup_bytes: int
    """ICE, DTLS and SCTP handshakes, both directions, IP and UDP included."""
    identity_bytes: int
    """The identity's own datagrams, both directions; 0 when the receiver had it in its cache."""
    audio: AudioReport
    video: VideoReport
    av_skew_ms: SkewReport
    runtime: str
    """What drew the frames."""
    machine: MachineReport
    reconnects: int = 0
    memory_mb: dict[str, Percentiles] = field(default_factory=dict)
    """Resident memory per end."""
    network: dict[str, float] = field(default_factory=dict)
    """What was done to the network on purpose; empty on a clean path."""
    series: dict[str, Series] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What the reader should know: a runtime that was missing, a call that was cut short."""

    def to_json(self) -> str:
        """Raises ValueError when a number is not finite: such a report would be a lie in valid JSON."""
        return json.dumps(asdict(self), indent=2, allow_nan=False)

    def write(self, path: Path) -> None:
        """Write report.json, folders included.

        Raises:
            OSError: it cannot be written; an earlier file is as it was.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, (self.to_json() + "\n").encode())


def percentiles(values: Sequence[float]) -> Percentiles:
    """Median and 95th percentile of `values`, rounded to 0.1; None for an empty sequence."""
    if len(values) == 0:
        return Percentiles(p50=None, p95=None)
    p50, p95 = (round(float(v), 1) for v in np.percentile(np.asarray(values, np.float64), [50, 95]))
    return Percentiles(p50=p50, p95=p95)


def skew_report(skews_ms: Sequence[float]) -> SkewReport:
    """Percentiles of |skew|."""
    if len(skews_ms) == 0:
        return SkewReport(p50=None, p95=None, max=None)
    magnitudes = np.abs(np.asarray(skews_ms, np.float64))
    p50, p95 = (round(float(v), 1) for v in np.percentile(magnitudes, [50, 95]))
    return SkewReport(p50=p50, p95=p95, max=round(float(magnitudes.max()), 1))


def kbps(num_bytes: float, seconds: float) -> float:
    """Kilobits per second; 0 over no time."""
    return round(num_bytes * 8 / seconds / 1000, 3) if seconds > 0 else 0.0


def thin(seconds: Sequence[float], values: Sequence[float]) -> Series:
    """A curve of at most `MAX_POINTS` points: the largest value of each stretch, so that spikes stay visible."""
    step = math.ceil(len(values) / MAX_POINTS) or 1
    starts = range(0, len(values), step)
    return Series(
        seconds=[round(float(seconds[i]), 2) for i in starts],
        values=[round(float(max(values[i : i + step])), 2) for i in starts],
    )


def report_from_dict(data: dict[str, Any]) -> Report:
    """Read what `Report.to_json` wrote.

    Raises:
        ValueError: another version, or a field is missing.
    """
    if data.get("report_version") != REPORT_VERSION:
        raise ValueError(f"report version {data.get('report_version')!r}, this program reads {REPORT_VERSION}")
    try:
        fields = dict(data)
        fields["wire"] = WireReport(up=_direction(data["wire"]["up"]), down=_direction(data["wire"]["down"]))
        fields["audio"] = AudioReport(**{**data["audio"], "latency_ms": Percentiles(**data["audio"]["latency_ms"])})
        fields["video"] = VideoReport(**{**data["video"], "render_ms": Percentiles(**data["video"]["render_ms"])})
        fields["av_skew_ms"] = SkewReport(**data["av_skew_ms"])
        fields["machine"] = MachineReport(**data["machine"])
        fields["memory_mb"] = {name: Percentiles(**value) for name, value in data["memory_mb"].items()}
        fields["series"] = {name: Series(**value) for name, value in data["series"].items()}
        return Report(**fields)
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a report: {error}") from error


def _direction(data: dict[str, Any]) -> DirectionTotals:
    components = {name: ComponentTotals(**value) for name, value in data["components"].items()}
    return DirectionTotals(**{**data, "components": components})
