"""Shared by the sender's tests: a clock that tests move, a link in memory, speech made on the spot, a style codec."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import wave
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from protocol.interfaces import PacketCost, ReceivedPacket, ReceptionReport
from talkface_core.resample import resample

RATE = 48_000


@dataclass
class Speech:
    """Speech with the truth about it."""

    pcm: NDArray[np.float32]
    """[n] at 48 kHz, full scale 1"""
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
            if gain > 1e-3:
                vowel += gain * np.sin(k * phase)
    envelope = np.minimum(np.linspace(0, 12, length), 1.0) * np.minimum(np.linspace(6, 0, length), 1.0)
    return np.concatenate([fricative, 0.25 * vowel / np.abs(vowel).max() * envelope])


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
    """A MediaLink that keeps what is sent; `answer` may reply to control messages."""

    clock: FakeClock
    audio: list[tuple[int, bytes, int, PacketCost]] = field(default_factory=list)
    """(time_us, payload, timestamp, cost)"""
    control: list[bytes] = field(default_factory=list)
    answer: Callable[[bytes], list[bytes]] | None = None
    is_broken: bool = False
    control_callback: Callable[[bytes], None] | None = None
    report_callback: Callable[[ReceptionReport], None] | None = None

    def send_audio(self, payload: bytes, timestamp_ticks: int, cost: PacketCost) -> None:
        if self.is_broken:
            raise ConnectionError("link is closed")
        self.audio.append((self.clock.now_us(), payload, timestamp_ticks, cost))

    async def send_control(self, message: bytes) -> None:
        if self.is_broken:
            raise ConnectionError("link is closed")
        self.control.append(message)
        await asyncio.sleep(0)
        for reply in self.answer(message) if self.answer is not None else []:
            if self.control_callback is not None:
                self.control_callback(reply)

    def on_audio(self, callback: Callable[[ReceivedPacket], None]) -> None:
        raise AssertionError("a sender does not listen to audio")

    def on_control(self, callback: Callable[[bytes], None]) -> None:
        self.control_callback = callback

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
