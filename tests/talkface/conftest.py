"""Fixtures of the app's tests."""

from __future__ import annotations

import pytest

from talkface.report import (
    AudioReport,
    ComponentReport,
    DirectionReport,
    MachineReport,
    Percentiles,
    Report,
    SkewReport,
    VideoReport,
    WireReport,
    thin,
)


def _direction(opus_bytes: int, seconds: float) -> DirectionReport:
    sizes = {"opus": opus_bytes, "ip_udp": 4_000, "rtcp": 200}
    components = {
        name: ComponentReport(bytes=size, kbps=size * 8 / seconds / 1000, talking_kbps=size * 8 / seconds / 1000)
        for name, size in sizes.items()
    }
    total = sum(sizes.values())
    rate = total * 8 / seconds / 1000
    return DirectionReport(kbps=rate, talking_kbps=rate, bytes=total, datagrams=170, components=components)


@pytest.fixture
def sample_report() -> Report:
    """A plausible report of ten seconds."""
    return Report(
        talkface_version="0.1.0",
        command="talkface demo",
        preset="default",
        style="live",
        weights="tiny",
        duration_s=10.0,
        talk_s=8.0,
        wire=WireReport(up=_direction(9_000, 10.0), down=_direction(0, 10.0)),
        setup_bytes=5_000,
        identity_bytes=4_500,
        audio=AudioReport(
            packets_sent=166,
            packets_received=160,
            lost=6,
            late=0,
            repaired=5,
            concealed_ms=60.0,
            longest_stall_ms=0.0,
            latency_ms=Percentiles(p50=42.0, p95=55.0),
        ),
        video=VideoReport(frames_expected=250, frames_shown=249, fps=24.9, render_ms=Percentiles(p50=12.0, p95=15.0)),
        av_skew_ms=SkewReport(p50=8.0, p95=20.0, max=24.0),
        runtime="openvino bf16",
        machine=MachineReport(cpu="a <fast> one", cores=2, memory_gb=8.0, os="Debian", python="3.11.7"),
        series={"latency_ms": thin([0.0, 1.0, 2.0], [40.0, 44.0, 42.0])},
        notes=["a & b"],
    )
