"""Makes the speech recording that ships with the demo: a synthetic voice, with a pause in the middle.

`talkface/assets/demo_speech.opus` was written by `python -m talkface.demo_speech`; it needs espeak-ng. The voice is
a synthesiser's, so nobody's voice is in the repository.
"""

from __future__ import annotations

import argparse
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from talkface.errors import UserError
from training.data.espeak import NoSynthesiserError, synthesise

SAMPLE_RATE_HZ = 48_000
PAUSE_MS = 1_800
LEAD_IN_MS = 500
PEAK = 0.7
BITRATE_BPS = 32_000
NOISE_DBFS = -66.0
"""A quiet room: digital silence would flatter the voice gate."""

SENTENCES_BEFORE_PAUSE = (
    "Hello. What you hear is all that crossed the network: a little sound, sixteen kilobits in a second.",
    "The face you see was never sent. It is drawn here, from my voice.",
)
SENTENCES_AFTER_PAUSE = (
    "And when I am quiet, nearly nothing is sent at all.",
    "Place blue at F two now. Bin green with B four, please.",
)


def speak(text: str, voice: str, words_per_minute: int) -> NDArray[np.float32]:
    """Synthesise one sentence. Returns [T] float32 mono at 48 kHz, peak at most 1.

    Raises:
        UserError: espeak-ng is not installed.
    """
    try:
        return synthesise(text, SAMPLE_RATE_HZ, voice=voice, options=["-s", str(words_per_minute)])
    except NoSynthesiserError as error:
        raise UserError(str(error)) from error


def compose(voice: str, words_per_minute: int) -> NDArray[np.float32]:
    """The whole recording: lead-in, two sentences, a pause, two sentences. [T] float32 at 48 kHz."""

    def silence(length_ms: int) -> NDArray[np.float32]:
        return np.zeros(SAMPLE_RATE_HZ * length_ms // 1000, np.float32)

    parts = [silence(LEAD_IN_MS)]
    parts += [speak(text, voice, words_per_minute) for text in SENTENCES_BEFORE_PAUSE]
    parts += [silence(PAUSE_MS)]
    parts += [speak(text, voice, words_per_minute) for text in SENTENCES_AFTER_PAUSE]
    parts += [silence(LEAD_IN_MS)]
    speech = np.concatenate(parts)
    speech *= PEAK / float(np.abs(speech).max())
    noise = np.random.default_rng(0).standard_normal(speech.size).astype(np.float32)
    return speech + noise * np.float32(10 ** (NOISE_DBFS / 20))


def write_ogg_opus(speech: NDArray[np.float32], path: Path) -> None:
    """Write [T] float32 mono 48 kHz as Ogg Opus."""
    with av.open(str(path), "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=SAMPLE_RATE_HZ, layout="mono")
        stream.bit_rate = BITRATE_BPS
        samples = np.clip(speech * 32_767, -32_768, 32_767).astype(np.int16)
        for start in range(0, samples.size, 960):
            frame = av.AudioFrame.from_ndarray(samples[None, start : start + 960], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE_HZ, start, Fraction(1, SAMPLE_RATE_HZ)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "assets" / "demo_speech.opus", help="file to write"
    )
    parser.add_argument("--voice", default="en-gb", help="espeak-ng voice")
    parser.add_argument("--words-per-minute", type=int, default=150, help="speed")
    options = parser.parse_args()
    speech = compose(options.voice, options.words_per_minute)
    write_ogg_opus(speech, options.output)
    print(f"{options.output}: {speech.size / SAMPLE_RATE_HZ:.1f} s")


if __name__ == "__main__":
    main()
