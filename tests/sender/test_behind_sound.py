"""Bytes behind the sound: a share of its rate in speech, what it leaves in silence, and never a burst."""

from __future__ import annotations

import asyncio

import pytest

from protocol.presets import PRESETS
from protocol.rtp_time import RTP_CLOCK_HZ
from sender.behind_sound import CHUNK_BYTES, CHUNK_OVERHEAD_BYTES, SPEECH_SHARE, BehindSound

PRESET = PRESETS["default"]
SLOT_TICKS = PRESET.packet_ms * RTP_CLOCK_HZ // 1000
SLOT_BYTES = PRESET.bitrate_bps * PRESET.packet_ms / 8000


def chunks_taken(seconds: float, sound_bytes: float) -> int:
    """Chunks that go out while every packet time takes `sound_bytes` for sound."""

    async def run() -> int:
        behind, taken = BehindSound(), 0

        async def take() -> None:
            nonlocal taken
            while True:
                await behind.take(CHUNK_BYTES)
                taken += 1

        task = asyncio.create_task(take())
        for _ in range(round(seconds * 1000 / PRESET.packet_ms)):
            behind.note_sound(PRESET, SLOT_TICKS, round(sound_bytes))
            for _ in range(3):
                await asyncio.sleep(0)
        task.cancel()
        return taken

    return asyncio.run(run())


def test_in_speech_it_is_a_share_of_the_rate() -> None:
    bytes_per_s = chunks_taken(60, SLOT_BYTES * 1.2) * (CHUNK_BYTES + CHUNK_OVERHEAD_BYTES) / 60
    assert bytes_per_s == pytest.approx(PRESET.bitrate_bps / 8 / SPEECH_SHARE, rel=0.1)


def test_in_silence_it_is_what_the_sound_leaves() -> None:
    bytes_per_s = chunks_taken(60, 0) * (CHUNK_BYTES + CHUNK_OVERHEAD_BYTES) / 60
    assert bytes_per_s == pytest.approx(PRESET.bitrate_bps / 8, rel=0.1)
    half = chunks_taken(60, SLOT_BYTES / 2) * (CHUNK_BYTES + CHUNK_OVERHEAD_BYTES) / 60
    assert half == pytest.approx(PRESET.bitrate_bps / 16, rel=0.1)


def test_a_pause_saves_no_burst() -> None:
    async def run() -> int:
        behind, taken = BehindSound(), 0
        for _ in range(10_000):
            behind.note_sound(PRESET, SLOT_TICKS, 0)
        try:
            while True:
                await asyncio.wait_for(behind.take(CHUNK_BYTES), 0.01)
                taken += 1
        except TimeoutError:
            return taken

    assert asyncio.run(run()) == 2


def test_a_chunk_has_a_limit() -> None:
    with pytest.raises(ValueError, match="a chunk of 257 bytes is over 256"):
        asyncio.run(BehindSound().take(CHUNK_BYTES + 1))
