"""Shared by the sender's tests: a clock that tests move, a link in memory, speech made on the spot, a style codec."""

from __future__ import annotations

import asyncio
import functools
import shutil
import subprocess
import wave
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from proofs import THERE

from protocol.control import ControlCounters, ReceivedMessage
from protocol.interfaces import LinkBinding, PacketCost, ReceivedPacket, ReceptionReport
from protocol.messages import Message
from talkface_core.sound.resample import resample

RATE = 48_000


@dataclass
class Speech:
    """Speech with the truth about it."""

    pcm: NDArray[np.float32]
    """[n] at 48 kHz, full scale 1; shared between tests, not to be written to"""
    is_voice: NDArray[np.bool_]
    """[n]"""

    def with_noise(self, level_dbfs: float, seed: int = 0) -> NDArray[np.int16]:
        """Add room noise (pinkish) of that level; from the first sample on."""
        rng = np.random.default_rng(seed)
        spectrum = np.fft.rfft(rng.normal(size=self.pcm.shape))
        spectrum /= np.sqrt(np.maximum(np.arange(spectrum.shape[0]) * RATE / len(self.pcm), 50.0))
        noise = np.fft.irfft(spectrum, len(self.pcm))
        noise *= 10 ** (level_dbfs / 20) / np.sqrt(np.mean(noise**2))
        return to_int16(self.pcm + noise)


def to_int16(samples: NDArray[np.floating]) -> NDArray[np.int16]:
    return np.clip(np.round(samples * 32767), -32768, 32767).astype(np.int16)


def formant_word(rng: np.random.Generator) -> NDArray[np.float64]:
    """A fricative, a vowel with moving formants, a soft end: enough for an energy detector to have a hard time."""
    fricative = np.diff(rng.normal(size=int(RATE * rng.uniform(0.06, 0.12))), prepend=0.0)
    fricative *= np.linspace(0.0, 0.08, fricative.shape[0])
    length = int(RATE * rng.uniform(0.15, 0.4))
    pitch = rng.uniform(90, 220) * (1 + 0.1 * np.linspace(1, -1, length))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    vowel = np.zeros(length)
    for formant, width in ((rng.uniform(300, 800), 90), (rng.uniform(900, 2300), 120), (2700, 160)):
        for k in range(1, 40):
            gain = 1.0 / (1.0 + ((k * pitch.mean() - formant) / width) ** 2)
            if gain > 0.02:
                vowel += gain * np.sin(k * phase)
    envelope = np.minimum(np.linspace(0, 12, length), 1.0) * np.minimum(np.linspace(6, 0, length), 1.0)
    return np.concatenate([fricative, 0.25 * vowel / np.abs(vowel).max() * envelope])


@functools.lru_cache(maxsize=16)
def make_speech(
    seconds: float, seed: int = 0, *, pause_s: tuple[float, float] = (0.6, 2.0), start_s: float = 0.5
) -> Speech:
    """Phrases of two to five words with pauses between them, on digital silence."""
    rng = np.random.default_rng(seed)
    pcm = np.zeros(int(seconds * RATE), np.float32)
    is_voice = np.zeros(pcm.shape, bool)
    at = int(start_s * RATE)
    while True:
        for _ in range(rng.integers(2, 6)):
            word = formant_word(rng)
            if at + len(word) > len(pcm):
                return Speech(pcm, is_voice)
            pcm[at : at + len(word)] = word
            is_voice[at : at + len(word)] = np.abs(word) > 0  # the whole word counts
            at += len(word) + int(RATE * rng.uniform(0.02, 0.15))
        at += int(RATE * rng.uniform(*pause_s))


def espeak_speech(path: Path, text: str) -> NDArray[np.float32] | None:
    """Speech of espeak-ng at 48 kHz, or None where it is not installed."""
    program = shutil.which("espeak-ng")
    if program is None:
        return None
    subprocess.run([program, "-w", str(path), text], check=True, timeout=30, capture_output=True)
    with wave.open(str(path)) as file:
        samples = (np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768).astype(np.float32)
        return resample(samples, file.getframerate(), RATE)


@pytest.fixture
def speech() -> Callable[..., Speech]:
    return make_speech


@pytest.fixture
def pcm16() -> Callable[[NDArray[np.floating]], NDArray[np.int16]]:
    return to_int16


@pytest.fixture
def espeak(tmp_path: Path) -> Callable[[str], NDArray[np.float32]]:
    def make(text: str) -> NDArray[np.float32]:
        samples = espeak_speech(tmp_path / "espeak.wav", text)
        if samples is None:
            pytest.skip("espeak-ng is not installed")
        return samples

    return make


class FakeClock:
    """Time that moves when `sleep` is awaited, so that minutes pass in milliseconds."""

    def __init__(self, start_us: int = 5_000_000) -> None:
        self.time_us = start_us
        self.num_sleeps = 0

    def now_us(self) -> int:
        return self.time_us

    async def sleep(self, seconds: float) -> None:
        self.num_sleeps += 1
        self.time_us += max(0, round(seconds * 1_000_000))
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@dataclass
class MemoryLink:
    """A MediaLink that keeps what is sent; its far end says `greeting`, then `answer` to what it hears."""

    clock: FakeClock
    audio: list[tuple[int, bytes, int, PacketCost]] = field(default_factory=list)
    """(time_us, payload, timestamp, cost)"""
    control: list[Message] = field(default_factory=list)
    greeting: list[ReceivedMessage] = field(default_factory=list)
    answer: Callable[[Message], list[Message]] = lambda message: []
    control_counters: ControlCounters = field(default_factory=ControlCounters)
    binding: LinkBinding | None = THERE
    is_broken: bool = False
    control_callback: Callable[[ReceivedMessage], None] | None = None
    report_callback: Callable[[ReceptionReport], None] | None = None

    def send_audio(self, payload: bytes, timestamp_ticks: int, cost: PacketCost) -> None:
        if self.is_broken:
            raise ConnectionError("link is closed")
        self.audio.append((self.clock.now_us(), payload, timestamp_ticks, cost))

    async def wait_control(self) -> None:
        if self.is_broken:
            raise ConnectionError("link is closed")

    async def send_control(self, message: Message) -> None:
        await self.wait_control()
        self.control.append(message)
        await asyncio.sleep(0)
        for reply in self.answer(message):
            if self.control_callback is not None:
                self.control_callback(reply)

    def on_audio(self, callback: Callable[[ReceivedPacket], None]) -> None:
        raise AssertionError("a sender does not listen to audio")

    def on_control(self, callback: Callable[[ReceivedMessage], None]) -> None:
        self.control_callback = callback
        for message in self.greeting:
            callback(message)

    def on_report(self, callback: Callable[[ReceptionReport], None]) -> None:
        self.report_callback = callback


@pytest.fixture
def make_link(clock: FakeClock) -> Callable[[], MemoryLink]:
    return lambda: MemoryLink(clock)


class PlainStyleCodec:
    """Style payloads that a test can read: a flag byte, then 12 or 16 values of 1/16 as signed bytes."""

    def __init__(self) -> None:
        self.num_encoded = 0

    def encode(self, values: NDArray[np.float32], *, refresh: bool, with_lips: bool) -> bytes:
        self.num_encoded += 1
        kept = values if with_lips else values[:12]
        return bytes([1 if refresh else 0]) + np.clip(np.round(kept * 16), -128, 127).astype(np.int8).tobytes()


@pytest.fixture
def style_codec() -> PlainStyleCodec:
    return PlainStyleCodec()


def write_media(
    path: Path,
    *,
    audio: NDArray[np.floating] | None = None,
    rate: int = 48_000,
    layout: str = "mono",
    audio_codec: str = "pcm_s16le",
    sample_format: str = "s16",
    audio_start_s: float = 0.0,
    gap_at_s: float | None = None,
    gap_s: float = 0.0,
    num_pictures: int = 0,
    frame_rate: Fraction = Fraction(25),
    size: tuple[int, int] = (64, 48),
    video_codec: str = "libx264",
    video_start_s: float = 0.0,
    rotation: int | None = None,
) -> Path:
    """A recording made with PyAV; picture i shows the bits of i as eight stripes, bright above and dark below."""
    with av.open(str(path), "w") as container:
        if num_pictures:
            video: Any = container.add_stream(video_codec, rate=frame_rate)
            video.width, video.height, video.pix_fmt = *size, "yuv420p" if size[0] % 2 == 0 else "yuv444p"
            video.options = {"crf": "12", "preset": "ultrafast"} if video_codec == "libx264" else {}
            if rotation is not None:
                video.set_display_rotation(rotation)
        if audio is not None:
            sound: Any = container.add_stream(audio_codec, rate=rate)
            sound.layout = layout
            sound.format = sample_format
            _write_sound(container, sound, audio, rate, layout, sample_format, audio_start_s, gap_at_s, gap_s)
        for index in range(num_pictures):
            frame = av.VideoFrame.from_ndarray(stripes(index, size), format="rgb24")
            frame.pts = index + round(video_start_s * frame_rate)
            frame.time_base = 1 / frame_rate
            container.mux(video.encode(frame))
        if num_pictures:
            container.mux(video.encode(None))
    return path


def _write_sound(
    container: av.container.OutputContainer,
    sound: Any,
    audio: NDArray[np.floating],
    rate: int,
    layout: str,
    sample_format: str,
    start_s: float,
    gap_at_s: float | None,
    gap_s: float,
) -> None:
    channels = len(av.AudioLayout(layout).channels)
    samples = np.atleast_2d(audio)
    samples = np.repeat(samples, channels, axis=0) if samples.shape[0] == 1 else samples
    kinds = {"s16": (np.int16, 32767), "s32": (np.int32, 2147483392), "flt": (np.float32, 1), "u8": (np.uint8, 127)}
    dtype, scale = kinds[sample_format.removesuffix("p")]
    values = (samples * scale + (128 if dtype == np.uint8 else 0)).astype(dtype)
    # AAC and Opus take frames of their own size only.
    step = sound.codec_context.frame_size or 1024
    for start in range(0, values.shape[1], step):
        part = values[:, start : start + step]
        data = np.ascontiguousarray(part if sample_format.endswith("p") else part.T.reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(data, format=sample_format, layout=layout)
        frame.sample_rate = rate
        late_s = gap_s if gap_at_s is not None and start >= gap_at_s * rate else 0.0
        frame.pts = start + round((start_s + late_s) * rate)
        frame.time_base = Fraction(1, rate)
        container.mux(sound.encode(frame))
    container.mux(sound.encode(None))


def stripes(index: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Picture number `index`: bit k is stripe k, 30 or 220; the upper tenth is white, so that up can be told."""
    width, height = size
    bits = (index >> np.arange(8)) & 1
    row = np.where(np.repeat(bits, -(-width // 8))[:width] == 1, 220, 30).astype(np.uint8)
    picture = np.repeat(np.repeat(row[None, :, None], height, axis=0), 3, axis=2)
    picture[: height // 10] = 255
    return picture


def picture_number(rgb: NDArray[np.uint8]) -> int:
    """The number that `stripes` drew."""
    height, width = rgb.shape[:2]
    centres = (np.arange(8) + 0.5) * (-(-width // 8))
    bits = rgb[height // 2, np.minimum(centres.astype(int), width - 1), 1] > 125
    return int((bits << np.arange(8)).sum())


@pytest.fixture
def media() -> Callable[..., Path]:
    return write_media


@pytest.fixture
def number_of() -> Callable[[NDArray[np.uint8]], int]:
    return picture_number
