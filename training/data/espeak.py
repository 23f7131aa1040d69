"""espeak-ng, Debian's speech synthesiser, as a function."""

from __future__ import annotations

import subprocess
import tempfile
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from talkface_core.sound.resample import resample

_TIMEOUT_S = 30.0


class NoSynthesiserError(ValueError):
    """espeak-ng is not there or does not speak."""


def synthesise(text: str, sample_rate_hz: int, *, voice: str, options: Sequence[str] = ()) -> NDArray[np.float32]:
    """[S] float32 in [-1, 1], mono.

    Args:
        voice: as in `espeak-ng --voices`, such as "en-gb" or "en-us+f3".
        options: more of espeak-ng's own, such as ["-s", "140"] for words per minute.

    Raises:
        NoSynthesiserError: espeak-ng is not installed, or fails; the message says which.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "said.wav"
        command = ["espeak-ng", "-v", voice, *options, "-w", str(file), text]
        try:
            result = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        except FileNotFoundError as error:
            raise NoSynthesiserError("espeak-ng is not installed: apt-get install espeak-ng") from error
        except subprocess.TimeoutExpired as error:
            raise NoSynthesiserError(f"espeak-ng did not end within {_TIMEOUT_S:.0f} s on {text!r}") from error
        if result.returncode or not file.exists():
            raise NoSynthesiserError(f"espeak-ng failed with voice {voice} on {text!r}: {result.stderr.strip()}")
        with wave.open(str(file)) as reader:
            rate = reader.getframerate()
            pcm = np.frombuffer(reader.readframes(reader.getnframes()), np.int16)
    return resample(pcm.astype(np.float32) / np.float32(32768), rate, sample_rate_hz).astype(np.float32)
