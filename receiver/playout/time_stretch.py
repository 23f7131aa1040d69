"""Speech a little shorter or longer without a change of pitch: one pitch period is dropped or repeated.

Waveform-similarity overlap-add (Verhelst and Roelands, ICASSP 1993) on one packet at a time: the lag at which the
sound repeats best is found by normalised correlation, and two neighbouring periods are cross-faded into one, or one
into two. The first and last samples stay as they were, so packets still join.

[n]: mono int16 at 48 kHz.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

MIN_LAG = 120
"""2.5 ms: 400 Hz, a high voice."""
MAX_LAG = 720
"""15 ms: 67 Hz, a low one."""
QUIET_RMS = 60.0
"""Below this (-55 dBFS) any cut is inaudible."""
MIN_SIMILARITY = 0.4
_COARSE = 4


def shorten(pcm: NDArray[np.int16], max_samples: int, *, force: bool = False) -> NDArray[np.int16]:
    """Drop one period of at most `max_samples`; the input itself when no good place is found.

    `force` cuts unvoiced sound too, at the price of a possible roughness.
    """
    lag = _best_lag(pcm, max_samples, force=force)
    if lag == 0:
        return pcm
    fade = np.linspace(0.0, 1.0, lag, dtype=np.float32)
    joined = pcm[:lag] * (1.0 - fade) + pcm[lag : 2 * lag] * fade
    return np.concatenate([np.rint(joined).astype(np.int16), pcm[2 * lag :]])


def lengthen(pcm: NDArray[np.int16], max_samples: int, *, force: bool = False) -> NDArray[np.int16]:
    """Repeat one period of at most `max_samples`; the input itself when no good place is found."""
    lag = _best_lag(pcm, max_samples, force=force)
    if lag == 0:
        return pcm
    fade = np.linspace(0.0, 1.0, lag, dtype=np.float32)
    joined = pcm[lag : 2 * lag] * (1.0 - fade) + pcm[:lag] * fade
    return np.concatenate([pcm[:lag], np.rint(joined).astype(np.int16), pcm[lag:]])


def _best_lag(pcm: NDArray[np.int16], max_samples: int, *, force: bool) -> int:
    """The lag in samples at which the start of `pcm` repeats, 0 when there is none to use."""
    longest = min(MAX_LAG, max_samples, int(pcm.shape[0]) // 2)
    if longest < MIN_LAG:
        return 0
    signal = pcm[: 2 * longest].astype(np.float32)
    if float(np.sqrt(np.mean(signal**2))) < QUIET_RMS:
        return longest
    coarse = signal[: signal.shape[0] // _COARSE * _COARSE].reshape(-1, _COARSE).mean(axis=1)
    best_lag, best_similarity = 0, -1.0
    for lag in range(MIN_LAG // _COARSE, longest // _COARSE + 1):
        first, second = coarse[:lag], coarse[lag : 2 * lag]
        energy = float(np.dot(first, first) * np.dot(second, second))
        similarity = float(np.dot(first, second)) / math.sqrt(energy) if energy > 0 else 0.0
        if similarity > best_similarity:
            best_lag, best_similarity = lag * _COARSE, similarity
    return best_lag if force or best_similarity >= MIN_SIMILARITY else 0
