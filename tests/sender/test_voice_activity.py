"""Voice activity: speech in silence and in noise from the first sample on; noise alone is not voice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sender.voice_activity import FRAME_SAMPLES, VoiceActivityDetector
from sender.voice_gate import SlotKind, VoiceGate

PACKET = 2880
WARM_UP = 14  # packets in which the floor is not known yet and everything is sent


def sent_slots(pcm: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Which 60 ms packets go out as speech, the look-back of one packet included."""
    detector, gate = VoiceActivityDetector(), VoiceGate()
    sent = []
    for start in range(0, len(pcm) - PACKET + 1, PACKET):
        voiced = [bool(v) for v in detector.process(pcm[start : start + PACKET])]
        slot = gate.next_slot(voiced, 60, detector.voice_to_noise_db)
        sent.append(slot is SlotKind.SPEECH)
    result: NDArray[np.bool_] = np.array(sent, dtype=np.bool_)
    result[:-1] |= result[1:]
    return result


def voiced_slots(is_voice: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
    return np.asarray(is_voice[: count * PACKET].reshape(count, PACKET).any(axis=1), dtype=np.bool_)


def with_hangover(voiced: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Voice and the six packets after it, and the one before: what a perfect gate sends."""
    result = voiced.copy()
    for shift in range(1, 7):
        result[shift:] |= voiced[:-shift]
    result[:-1] |= voiced[1:]
    return result


@pytest.mark.parametrize("noise_dbfs", [-90, -60, -50, -40])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_words_are_sent_whole_and_pauses_are_not(speech: Callable[..., Any], noise_dbfs: float, seed: int) -> None:
    talk = speech(12.0, seed)
    sent = sent_slots(talk.with_noise(noise_dbfs, seed))
    voiced = voiced_slots(talk.is_voice, len(sent))
    assert not (voiced & ~sent).any()
    pauses = ~with_hangover(voiced)
    pauses[:WARM_UP] = False
    assert pauses.sum() > 20
    assert sent[pauses].mean() < 0.15


def test_words_only_12_db_above_loud_noise_are_mostly_sent(speech: Callable[..., Any]) -> None:
    talk = speech(12.0, 3)
    sent = sent_slots(talk.with_noise(-32.0, 3))
    voiced = voiced_slots(talk.is_voice, len(sent))
    assert (voiced & ~sent).sum() <= 0.06 * voiced.sum()


@pytest.mark.parametrize("noise_dbfs", [-60, -40])
def test_espeak_in_noise(espeak: Callable[[str], NDArray[np.float32]], noise_dbfs: float) -> None:
    words = espeak("She sells sea shells by the sea shore. Five fish fly.")
    pause = np.zeros(3 * 48_000, np.float32)
    clean = np.concatenate([pause, words, pause, words])
    noise = np.random.default_rng(0).normal(size=clean.shape) * 10 ** (noise_dbfs / 20)
    sent = sent_slots(np.clip((clean + noise) * 32767, -32768, 32767).astype(np.int16))
    loud = voiced_slots(np.abs(clean) > 3 * 10 ** (max(noise_dbfs, -45) / 20), len(sent))
    assert not (loud & ~sent).any()
    middle_of_pause = slice(
        (len(pause) * 2 // 3 + len(pause) + len(words)) // PACKET, (2 * len(pause) + len(words)) // PACKET - 2
    )
    assert not sent[middle_of_pause].any()


@pytest.mark.parametrize("kind", ["white", "hum", "silence", "dither"])
def test_no_voice_in(kind: str) -> None:
    rng = np.random.default_rng(5)
    time = np.arange(48_000 * 8) / 48_000
    signals = {
        "white": rng.normal(size=time.shape) * 300,
        "hum": 1000 * np.sin(2 * np.pi * 50 * time)
        + 300 * np.sin(2 * np.pi * 150 * time)
        + 20 * rng.normal(size=time.shape),
        "silence": np.zeros(time.shape),
        "dither": rng.integers(-1, 2, size=time.shape),
    }
    voiced = VoiceActivityDetector().process(signals[kind].astype(np.int16))
    assert voiced[60:].mean() < 0.02


def test_a_fan_that_starts_is_noise_within_three_seconds() -> None:
    noise = np.random.default_rng(6).normal(size=48_000 * 10)
    noise[: 48_000 * 4] *= 20
    noise[48_000 * 4 :] *= 600
    voiced = VoiceActivityDetector().process(noise.astype(np.int16))
    assert voiced[200:210].all()
    assert voiced[350:].mean() < 0.02


@pytest.mark.parametrize("noise_dbfs", [-70, -55, -40, -32])
def test_how_far_the_voice_stands_above_the_room(speech: Callable[..., Any], noise_dbfs: float) -> None:
    talk = speech(12.0, 1)
    detector = VoiceActivityDetector()
    assert detector.voice_to_noise_db == 0.0
    pcm = talk.with_noise(noise_dbfs)
    detector.process(pcm[: len(pcm) // FRAME_SAMPLES * FRAME_SAMPLES])
    voice_dbfs = 10 * np.log10(np.mean(talk.pcm[talk.is_voice] ** 2))
    assert abs(detector.voice_to_noise_db - (voice_dbfs - noise_dbfs)) < 6.0


def test_chunks_do_not_matter() -> None:
    pcm = (np.random.default_rng(7).normal(size=FRAME_SAMPLES * 60) * 500).astype(np.int16)
    whole = VoiceActivityDetector().process(pcm)
    detector = VoiceActivityDetector()
    parts = [detector.process(pcm[i : i + FRAME_SAMPLES * 3]) for i in range(0, len(pcm), FRAME_SAMPLES * 3)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    detector.reset()
    np.testing.assert_array_equal(detector.process(pcm), whole)


def test_whole_frames_only() -> None:
    with pytest.raises(ValueError, match="whole frames of 960"):
        VoiceActivityDetector().process(np.zeros(1000, np.int16))
