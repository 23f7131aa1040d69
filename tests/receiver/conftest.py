"""Fakes and helpers of the receiver's tests: a clock that is set, speech that is made, a network written down."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray
from proofs import HERE, KEY

from protocol.audio_payload import parse_audio_payload
from protocol.control import ControlCounters, ControlReader, ReceivedMessage
from protocol.identity.file import IdentityFile, NumberFormat, sign_identity
from protocol.interfaces import PacketCost, ReceivedPacket, ReceptionReport
from protocol.messages import Message
from protocol.opus_padding import add_padding, split_padding
from protocol.style_block import StyleBlock
from receiver.media_packet import PacketIntake
from receiver.playout.audio_playout import AudioPlayout, PlayoutChunk
from receiver.playout.media_clock import MediaClock
from talkface_core.errors import StylePayloadError
from talkface_core.interfaces import STYLE_VALUES, FaceIdentity, FaceModelInfo, StylePayloadEncoder, StyleSession
from talkface_core.sound.opus import OpusDecoder, OpusEncoder

__all__ = ["FaceIdentity", "OpusDecoder"]  # used through the fixture `kit`

TICK_US = 1000 / 48
START_US = 1_000_000


class FakeClock:
    """A clock that shows what it was set to."""

    def __init__(self, now_us: int = START_US) -> None:
        self.time_us = now_us

    def now_us(self) -> int:
        return self.time_us


def make_speech(seconds: float, seed: int = 1) -> NDArray[np.int16]:
    """[n] int16 at 48 kHz: a gliding voice with syllables and some breath, for codecs rather than ears."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * 48_000)) / 48_000
    phase = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 0.7 * t)) / 48_000
    voice = sum(np.sin(k * phase) / k for k in range(1, 20))
    syllables = np.clip(np.sin(2 * np.pi * 3.1 * t) + 0.4, 0, 1)
    noise = rng.standard_normal(t.shape[0]) * 0.02
    return np.asarray((voice * 0.2 * syllables + noise * syllables) * 20_000, dtype=np.int16)


def encode(pcm: NDArray[np.int16], packet_ms: int = 60, bitrate_bps: int = 8_000) -> list[bytes]:
    encoder = OpusEncoder(bitrate_bps, packet_ms)
    size = encoder.samples_per_packet
    return [encoder.encode(pcm[i : i + size]) for i in range(0, pcm.shape[0] - size + 1, size)]


def received(sequence_number: int, rtp_timestamp: int, payload: bytes, ssrc: int, arrival_us: int) -> ReceivedPacket:
    """A packet as a link hands it over."""
    return ReceivedPacket(sequence_number, rtp_timestamp, parse_audio_payload(payload), ssrc, arrival_us)


@dataclass
class Arrival:
    """A packet and when it comes."""

    at_us: int
    packet: ReceivedPacket


@dataclass
class Stream:
    """A sender written down: packets with timestamps, sent when their sound is over."""

    opus: list[bytes]
    packet_ms: int = 60
    first_sequence: int = 65_500
    first_timestamp: int = 2**32 - 48_000
    ssrc: int = 77
    has_redundancy: bool = False
    style: Callable[[int], bytes] = field(default=lambda index: b"")
    skew_ppm: float = 0.0
    """Sender's clock fast by this."""

    def sent_us(self, index: int) -> float:
        ticks = (index + 1) * self.packet_ms * 48
        return START_US + ticks * TICK_US * (1 - self.skew_ppm * 1e-6)

    def packet(self, index: int, arrival_us: float) -> ReceivedPacket:
        opus = self.opus[index % len(self.opus)]
        redundancy = self.opus[(index - 1) % len(self.opus)] if self.has_redundancy and index else b""
        block = StyleBlock(style=self.style(index), redundancy=redundancy).to_bytes()
        return received(
            (self.first_sequence + index) & 0xFFFF,
            (self.first_timestamp + index * self.packet_ms * 48) & 0xFFFFFFFF,
            add_padding(opus, block) if block else opus,
            self.ssrc,
            round(arrival_us),
        )

    def arrivals(
        self,
        count: int,
        *,
        lost: Callable[[int], bool] = lambda index: False,
        delay_ms: Callable[[int], float] = lambda index: 20.0,
    ) -> list[Arrival]:
        """The first `count` packets through a network with this loss and delay, in order of arrival."""
        arrivals = []
        for index in range(count):
            if not lost(index):
                at_us = self.sent_us(index) + delay_ms(index) * 1000
                arrivals.append(Arrival(round(at_us), self.packet(index, at_us)))
        return sorted(arrivals, key=lambda arrival: arrival.at_us)


@dataclass
class PlayoutRun:
    """What came out of a simulated playout."""

    chunks: list[PlayoutChunk] = field(default_factory=list)
    ready_us: dict[int, int] = field(default_factory=dict)
    """By unwrapped sequence, packets only (no repairs)."""
    delays_ms: list[tuple[int, float]] = field(default_factory=list)
    """(local time, playout delay above the base line)."""

    def pcm(self) -> NDArray[np.int16]:
        return np.concatenate([chunk.pcm for chunk in self.chunks])


class PlayoutBench:
    """Runs `AudioPlayout` against a list of arrivals in simulated time, 5 ms a step."""

    def __init__(self) -> None:
        self.clock = MediaClock(presentation_delay_us=0)
        self.playout = AudioPlayout(self.clock)
        self.intake = PacketIntake()
        self.run_result = PlayoutRun()
        self.now_us = START_US

    def run(self, arrivals: Iterable[Arrival], until_us: int | None = None, step_us: int = 5_000) -> PlayoutRun:
        waiting = list(arrivals)
        end_us = until_us if until_us is not None else waiting[-1].at_us + 200_000
        index = 0
        while self.now_us < end_us:
            self.now_us += step_us
            while index < len(waiting) and waiting[index].at_us <= self.now_us:
                self._tick(waiting[index].at_us)
                packet = self.intake.accept(waiting[index].packet)
                if packet is not None:
                    self.playout.add(packet)
                index += 1
            self._tick(self.now_us)
        return self.run_result

    def _tick(self, now_us: int) -> None:
        chunks = self.playout.advance(now_us)
        for chunk in chunks:
            self.run_result.chunks.append(chunk)
            if chunk.packet is not None and not chunk.packet.is_repair:
                self.run_result.ready_us[chunk.packet.sequence] = self.clock.ready_us(chunk.start_samples)
        delay_ms = self.playout.delay_ms if chunks else None
        if delay_ms is not None:
            self.run_result.delays_ms.append((now_us, delay_ms))


class MonotonicClock:
    """Real time, for the tests that need threads."""

    def now_us(self) -> int:
        return time.monotonic_ns() // 1000


class MemoryLink:
    """`MediaLink` whose far end is the test."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.has_control = True
        self.binding = HERE
        self._audio: list[Callable[[ReceivedPacket], None]] = []
        self._control: list[Callable[[ReceivedMessage], None]] = []
        self._reader = ControlReader()

    def send_audio(self, payload: bytes, timestamp_ticks: int, cost: PacketCost) -> None:
        raise AssertionError("a receiver sends no sound")

    async def wait_control(self) -> None:
        if not self.has_control:
            raise ConnectionError("the far end offers no control channel")

    async def send_control(self, message: Message) -> None:
        await self.wait_control()
        self.sent.append(message)

    @property
    def control_counters(self) -> ControlCounters:
        return self._reader.counters

    def on_audio(self, callback: Callable[[ReceivedPacket], None]) -> None:
        self._audio.append(callback)

    def on_control(self, callback: Callable[[ReceivedMessage], None]) -> None:
        self._control.append(callback)

    def on_report(self, callback: Callable[[ReceptionReport], None]) -> None:
        raise AssertionError("a receiver needs no reports")

    def deliver_audio(self, packet: ReceivedPacket) -> None:
        for callback in self._audio:
            callback(packet)

    def deliver_control(self, data: bytes) -> None:
        message = self._reader.read(data, time.monotonic())
        if message is not None:
            for callback in self._control:
                callback(message)


def style_payload(values: NDArray[np.float32]) -> bytes:
    """What `ByteStyleDecoder` reads: [16] values in steps of 1/32."""
    return np.clip(np.rint(values * 32), -128, 127).astype(np.int8).tobytes()


class ByteStyleDecoder:
    """One signed byte per value: a style codec simple enough to see through."""

    def __init__(self) -> None:
        self.contiguous: list[bool] = []
        self.num_resets = 0

    def reset(self) -> None:
        self.num_resets += 1

    def decode(self, payload: bytes, *, is_contiguous: bool) -> NDArray[np.float32] | None:
        self.contiguous.append(is_contiguous)
        if len(payload) != STYLE_VALUES:
            raise StylePayloadError(f"style payload of {len(payload)} bytes is not {STYLE_VALUES}")
        return np.frombuffer(payload, dtype=np.int8).astype(np.float32) / 32


class ChartRenderer:
    """Draws what it was given: identity, loudness and style as grey levels, so that tests can read them back."""

    runtime = "chart"
    frames_at_once = 1

    def __init__(self, resolution_px: int, level: int, render_s: float) -> None:
        self._resolution_px = resolution_px
        self._level = level
        self._render_s = render_s
        self.is_warm = False

    def warm_up(self) -> None:
        self.is_warm = True

    def render(self, audio: NDArray[np.float32], style: NDArray[np.float32] | None) -> NDArray[np.uint8]:
        if self._render_s:
            time.sleep(self._render_s)
        image = np.zeros((self._resolution_px, self._resolution_px, 3), dtype=np.uint8)
        image[..., 0] = self._level
        image[..., 1] = min(255, int(np.abs(audio).max() * 255))
        image[..., 2] = 128 if style is None else np.clip(128 + 16 * style[0], 0, 255)
        return image


class ChartModel:
    """A face model without weights, with every number that a real one publishes."""

    def __init__(self, render_s: float = 0.0) -> None:
        self.info = FaceModelInfo(
            name="chart",
            latent_dim=8,
            resolution_px=64,
            num_layers=4,
            frame_rate=Fraction(25),
            sample_rate_hz=16_000,
            audio_past_samples=2_560,
            audio_lookahead_samples=1_280,
            style_table_id=9,
            weights_sha256="ab" * 32,
            code_version=1,
        )
        self.renderers: list[ChartRenderer] = []
        self._render_s = render_s

    def style_encoder(self) -> StyleSession:
        raise AssertionError("a receiver encodes no style")

    def payload_encoder(self) -> StylePayloadEncoder:
        raise AssertionError("a receiver encodes no style")

    def payload_decoder(self) -> ByteStyleDecoder:
        return ByteStyleDecoder()

    def renderer(self, identity: FaceIdentity, *, runtime: str = "auto") -> ChartRenderer:
        renderer = ChartRenderer(self.info.resolution_px, int(identity.z[0]), self._render_s)
        self.renderers.append(renderer)
        return renderer


def make_identity(level: float = 200.0, *, weights_sha256: str = "ab" * 32, latent_dim: int = 8) -> IdentityFile:
    """A signed identity whose face `ChartRenderer` draws with this red level."""
    z = np.full(latent_dim, level, dtype="<f4")
    return sign_identity(
        KEY,
        name="somebody",
        weights_sha256=weights_sha256,
        latent_dim=latent_dim,
        number_format=NumberFormat.FLOAT32,
        z=z.tobytes(),
    )


async def play_live(
    link: MemoryLink, stream: Stream, count: int, *, lost: Callable[[int], bool], first: int = 0
) -> None:
    """Deliver `count` packets at the pace of speech."""
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    for index in range(first, first + count):
        await asyncio.sleep(max(0.0, start_s + (index - first + 1) * stream.packet_ms / 1000 - loop.time()))
        if not lost(index):
            link.deliver_audio(stream.packet(index, MonotonicClock().now_us()))


@pytest.fixture(scope="session")
def speech_packets() -> list[bytes]:
    """10 s of 8 kbps wideband at 60 ms."""
    packets = encode(make_speech(10.0))
    assert all(split_padding(packet)[0].duration_ticks == 2880 for packet in packets)
    return packets


@pytest.fixture
def bench() -> PlayoutBench:
    return PlayoutBench()


@pytest.fixture(scope="session")
def kit() -> ModuleType:
    """This file: import modes keep tests from importing it by name."""
    return sys.modules[__name__]
