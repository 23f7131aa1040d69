"""Fixtures of the app's tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from protocol.messages import Hello
from talkface import demo
from talkface.clock import MonotonicClock
from talkface.report.report import (
    AudioReport,
    MachineReport,
    Percentiles,
    Report,
    SkewReport,
    VideoReport,
    WireReport,
    thin,
)
from talkface.rtc.link import RtcLink
from talkface.rtc.options import LinkOptions
from talkface.rtc.wire.meter import WireMeter
from talkface.rtc.wire.totals import ComponentTotals, DirectionTotals
from talkface_core.sound.opus import OpusEncoder


def _direction(opus_bytes: int, seconds: float) -> DirectionTotals:
    sizes = {"opus": opus_bytes, "ip_udp": 4_000, "rtcp": 200}
    components = {
        name: ComponentTotals(bytes=size, kbps=size * 8 / seconds / 1000, talking_kbps=size * 8 / seconds / 1000)
        for name, size in sizes.items()
    }
    total = sum(sizes.values())
    rate = total * 8 / seconds / 1000
    return DirectionTotals(kbps=rate, talking_kbps=rate, bytes=total, datagrams=170, components=components)


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


# --- links over real sockets (rtc/, rough_network/) ---


class LinkLab:
    """Makes links on the loopback address and joins them without a signalling server."""

    def __init__(self) -> None:
        self.clock = MonotonicClock()

    def link(self, meter: WireMeter | None = None, *, hello: Hello | None = None, **options: Any) -> RtcLink:
        """A link on 127.0.0.1 with a meter of its own unless one is given."""
        options.setdefault("bind_addresses", ("127.0.0.1",))
        meter = meter or WireMeter(self.clock)
        return RtcLink(LinkOptions(**options), meter=meter, clock=self.clock, hello=hello)

    async def join(self, offerer: RtcLink, answerer: RtcLink, timeout_s: float = 15.0) -> None:
        """Hand the descriptions over and wait until both are connected."""
        await offerer.accept_answer(await answerer.accept_offer(await offerer.create_offer()))
        await asyncio.gather(offerer.wait_connected(timeout_s), answerer.wait_connected(timeout_s))

    @asynccontextmanager
    async def pair(self, **options: Any) -> AsyncIterator[tuple[RtcLink, RtcLink]]:
        """Two connected links; closed afterwards."""
        links = self.link(**options), self.link(**options)
        try:
            await self.join(*links)
            yield links
        finally:
            await asyncio.gather(*(link.close() for link in links))

    async def until(self, condition: Callable[[], object], timeout_s: float = 10.0) -> None:
        """Wait until `condition` holds; fails the test when it does not in time."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                await asyncio.sleep(0.01)


@pytest.fixture
def lab() -> LinkLab:
    return LinkLab()


@pytest.fixture(scope="session")
def speech_packets() -> list[bytes]:
    """A spoken sentence as 60 ms Opus packets: 8 kbps wideband, from the recording that ships with the demo."""
    with av.open(str(Path(demo.SPEECH))) as container:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=48_000)
        frames = [out.to_ndarray() for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    pcm = np.concatenate(frames, axis=1)[0]
    with OpusEncoder(bitrate_bps=8_000, packet_ms=60) as encoder:
        return [encoder.encode(pcm[at : at + 2880]) for at in range(0, len(pcm) - 2880, 2880)]
