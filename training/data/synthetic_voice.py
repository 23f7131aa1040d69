"""Synthetic voices that say a clip's sentence in step with its mouth, for lips that follow voices never heard.

Pitch and formants of one speaker can be changed (`training.data.audio_augment`), but not how he speaks. A GRID clip's
name spells its sentence; espeak-ng says it in another voice, and dynamic time warping (Sakoe and Chiba, 1978) lays that
on the clip's own sound. The warp acts on spectrogram columns, so no waveform is stretched.

Shapes: T video frames, M columns of a frame's window, N columns of a whole clip.
"""

from __future__ import annotations

import re

import numpy as np
import torch
from numpy.typing import NDArray

from talkface_core.sound.mel import (
    FFT_SAMPLES,
    HOP_SAMPLES,
    MEL_BINS,
    PAST_SAMPLES,
    SAMPLE_RATE_HZ,
    SAMPLES_PER_FRAME,
    WINDOW_COLUMNS,
    mel_columns,
)
from training.config import AudioSection
from training.data.audio_augment import VoiceChange, apply_voice
from training.data.espeak import synthesise

VOICES = ("en-gb", "en-us", "en-gb-scotland", "en-gb-x-rp", "en-029", "en-gb-x-gbclan")
VARIANTS = ("m1", "m3", "m5", "m7", "f1", "f2", "f3", "f4", "f5", "croak", "whisper")
_COMMANDS = {"b": "bin", "l": "lay", "p": "place", "s": "set"}
_COLOURS = {"b": "blue", "g": "green", "r": "red", "w": "white"}
_PREPOSITIONS = {"a": "at", "b": "by", "i": "in", "w": "with"}
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_DIGITS = dict(zip("z123456789", _NUMBERS, strict=True))
_ADVERBS = {"a": "again", "n": "now", "p": "please", "s": "soon"}
_NAME = re.compile(r"(?:.*[_/-])?([blps])([bgrw])([abiw])([a-z])([z1-9])([anps])")
_SILENCE_S = 0.4
"""Before and after the synthetic sentence: a clip begins and ends with a closed mouth."""
_FINE_HOP = 64
"""Samples between the columns that are warped: 4 ms."""
_MATCH_HOP = 160
"""Samples between the columns that are compared: 10 ms."""
_CEPSTRA = 13
_STEP_COST = 0.3
"""In standard deviations per cepstrum: standing still or going at double speed must be worth it."""


def grid_sentence(name: str) -> str | None:
    """What is said in a GRID clip, from its name ("bbaf2n": "bin blue at f two now"); None for other names."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    command, colour, preposition, letter, digit, adverb = match.groups()
    said = "ay" if letter == "a" else letter  # alone it would be read as the article
    words = (_COMMANDS[command], _COLOURS[colour], _PREPOSITIONS[preposition], said, _DIGITS[digit], _ADVERBS[adverb])
    return " ".join(words)


def say(sentence: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """The sentence in a random voice, pitch and speed, with silence around it: [S] at 16 kHz.

    Raises:
        NoSynthesiserError: espeak-ng is not installed, or fails.
    """
    voice = f"{rng.choice(VOICES)}+{rng.choice(VARIANTS)}"
    manner = ["-p", str(rng.integers(15, 86)), "-s", str(rng.integers(120, 180))]
    return np.pad(synthesise(sentence, SAMPLE_RATE_HZ, voice=voice, options=manner), round(_SILENCE_S * SAMPLE_RATE_HZ))


def synthetic_mels(
    samples: NDArray[np.int16], sentence: str, config: AudioSection, rng: np.random.Generator, num_frames: int
) -> NDArray[np.float32]:
    """What E_audio would see of each frame if another voice had spoken the clip: [T, 80, M].

    Args:
        samples: [S] the clip's own sound, 16 kHz.
        config: noise and Opus of the changed voices are those of `apply_voice`.
    """
    said = say(sentence, rng)
    own = samples.astype(np.float32) / np.float32(32768)
    said = (said * (_loudness(own) / max(_loudness(said), 1e-6))).clip(-1, 1)
    change = VoiceChange(
        noise_db=float(rng.uniform(20, 45)),
        opus_bps=int(rng.choice(config.opus_bps)) if config.opus_bps else None,
        seed=int(rng.integers(2**31)),
    )
    said = apply_voice((said * 32767).astype(np.int16), change).astype(np.float32) / np.float32(32768)
    path = time_warp(_cepstra(own), _cepstra(said)) * (_MATCH_HOP / _FINE_HOP)  # in fine columns
    # Centre of every column of every frame's window, in samples of the clip.
    first = np.arange(num_frames) * SAMPLES_PER_FRAME - PAST_SAMPLES + FFT_SAMPLES // 2
    centres = first[:, None] + np.arange(WINDOW_COLUMNS) * HOP_SAMPLES  # [T, M]
    columns = _columns(said, _FINE_HOP)
    where = np.interp(centres / _MATCH_HOP, np.arange(len(path)), path)
    mels: NDArray[np.float32] = columns[where.round().astype(int).clip(0, len(columns) - 1)].transpose(0, 2, 1)
    # Outside the clip its own windows hold zeros.
    outside = (centres < 0) | (centres >= len(samples))
    silence = _columns(np.zeros(1, np.float32), _FINE_HOP)[0]
    return np.where(outside[:, None], silence[None, :, None], mels)


def time_warp(own: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    """For each row of `own` [N, C] the row of `other` [N', C] that is said at that time: [N], never falling.

    Per own row the other moves on by none, one or two rows; the path begins and ends anywhere in the other's first
    and last rows' silence.
    """
    distance = np.sqrt(
        np.maximum(
            np.square(own).sum(1)[:, None] + np.square(other).sum(1)[None] - 2 * own @ other.T,
            0,
        )
    )
    free = min(len(other), round(2 * _SILENCE_S * SAMPLE_RATE_HZ / _MATCH_HOP))
    cost = distance[0].copy()
    cost[free:] = np.inf
    steps = np.zeros(distance.shape, np.int8)
    penalty = _STEP_COST * np.sqrt(own.shape[1])
    for row in range(1, len(own)):
        stay, one, two = cost + penalty, np.roll(cost, 1), np.roll(cost, 2) + penalty
        one[:1], two[:2] = np.inf, np.inf
        options = np.stack([stay, one, two])
        steps[row] = options.argmin(0)
        cost = options.min(0) + distance[row]
    end = len(other) - free + int(cost[len(other) - free :].argmin())
    path = np.empty(len(own))
    for row in range(len(own) - 1, -1, -1):
        path[row] = end
        end = max(0, end - int(steps[row, end]))
    # Whole rows move in jerks.
    width = 5
    smooth: NDArray[np.float64] = np.convolve(np.pad(path, width // 2, mode="edge"), np.full(width, 1 / width), "valid")
    return smooth


def _loudness(sound: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.square(sound).mean()))


@torch.inference_mode()
def _columns(sound: NDArray[np.float32], hop: int) -> NDArray[np.float32]:
    """Log-mel columns whose centres lie `hop` samples apart from sample 0 on: [N, 80]."""
    padded = np.pad(sound, FFT_SAMPLES // 2)
    return mel_columns(torch.from_numpy(padded)[None], hop)[0].numpy()


def _cepstra(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """[N, 13] cepstra every 10 ms, each of zero mean and unit variance over the sentence: voices differ in both."""
    columns = _columns(sound, _MATCH_HOP)
    k = np.arange(_CEPSTRA)[:, None]
    basis = np.cos(np.pi * k * (np.arange(MEL_BINS) + 0.5) / MEL_BINS)
    cepstra = columns @ basis.T
    normal: NDArray[np.float32] = ((cepstra - cepstra.mean(0)) / (cepstra.std(0) + 1e-3)).astype(np.float32)
    return normal
