"""Mel-frequency cepstral coefficients as SyncNet was trained on them (python_speech_features' defaults).

25 ms windows every 10 ms without taper, pre-emphasis 0.97, 26 mel bands over 512 points, 13 coefficients of an
orthonormal DCT-II with liftering 22, the first replaced by the log energy. Samples are in 16-bit units.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000
WINDOW_SAMPLES = 400
STEP_SAMPLES = 160
FFT_SIZE = 512
NUM_BANDS = 26
NUM_COEFFICIENTS = 13
LIFTER = 22


def mel_filterbank() -> NDArray[np.float64]:
    """[NUM_BANDS, FFT_SIZE // 2 + 1] triangles with corners on whole FFT bins (HTK mel scale)."""
    top_mel = 2595 * math.log10(1 + SAMPLE_RATE_HZ / 2 / 700)
    hz = 700 * (10 ** (np.linspace(0, top_mel, NUM_BANDS + 2) / 2595) - 1)
    corners = np.floor((FFT_SIZE + 1) * hz / SAMPLE_RATE_HZ).astype(int)
    bank = np.zeros((NUM_BANDS, FFT_SIZE // 2 + 1))
    for band, (low, peak, high) in enumerate(zip(corners[:-2], corners[1:-1], corners[2:], strict=True)):
        bank[band, low:peak] = (np.arange(low, peak) - low) / max(peak - low, 1)
        bank[band, peak:high] = (high - np.arange(peak, high)) / max(high - peak, 1)
    return bank


def mfcc(samples: NDArray[np.int16]) -> NDArray[np.float64]:
    """[S] 16 kHz samples to [frames, 13], one row per 10 ms; the last window is padded with zeros."""
    signal = samples.astype(np.float64)
    signal = np.append(signal[:1], signal[1:] - 0.97 * signal[:-1])
    num_frames = 1 + max(0, math.ceil((len(signal) - WINDOW_SAMPLES) / STEP_SAMPLES))
    padded = np.zeros((num_frames - 1) * STEP_SAMPLES + WINDOW_SAMPLES)
    padded[: len(signal)] = signal
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)[::STEP_SAMPLES]
    power = np.abs(np.fft.rfft(windows, FFT_SIZE)) ** 2 / FFT_SIZE
    tiny = np.finfo(float).eps
    energy = power.sum(1)
    bands = power @ mel_filterbank().T
    log_bands = np.log(np.where(bands == 0, tiny, bands))
    n = np.arange(NUM_BANDS)
    dct = np.cos(np.pi * np.arange(NUM_COEFFICIENTS)[:, None] * (2 * n + 1) / (2 * NUM_BANDS)) * math.sqrt(
        2 / NUM_BANDS
    )
    dct[0] /= math.sqrt(2)
    cepstra = log_bands @ dct.T
    cepstra *= 1 + LIFTER / 2 * np.sin(np.pi * np.arange(NUM_COEFFICIENTS) / LIFTER)
    cepstra[:, 0] = np.log(np.where(energy == 0, tiny, energy))
    return cepstra
