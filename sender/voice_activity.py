"""Voice activity in 20 ms frames, against a noise floor that follows the room (no speech model, about 0.1 ms a frame).

Twelve bands between 100 and 7800 Hz. The floor of each band is the mean of those frames that lie near the band's
minimum of the last 2.4 s (minima-controlled recursive averaging: Cohen and Berdugo, IEEE Signal Processing Letters
9(1), 2002), so it is right within a second when a call starts in noise, which libopus's own detector never manages.
A frame is voice when the bands stand above their floors by enough decibels on average; a fricative lifts few bands
by much, a vowel many.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 48_000
FRAME_MS = 20
FRAME_SAMPLES = SAMPLE_RATE_HZ * FRAME_MS // 1000

_BAND_EDGES_HZ = (100, 300, 500, 700, 900, 1200, 1600, 2000, 2600, 3400, 4400, 5800, 7800)
_VOICE_DB = 3.0
"""Mean lift over the floor; noise alone reaches 1 dB, with a standard deviation of 0.4."""
_MAX_LIFT_DB = 15.0
"""One band's lift counts up to here, so that hum in a single band is not a voice."""
_QUIETEST_FRAME = 10.0 ** (-70.0 / 10)
"""Mean square, full scale 1: anything below is silence whatever the floor."""
_QUIETEST_FLOOR = 10.0 ** (-85.0 / 10)
"""Per band; digital silence has no floor of its own."""
_START_FRAMES = 40
"""The first 0.8 s count as voice: until the floor is known it is better to send."""
_SMOOTHING = 0.7
_FLOOR_SMOOTHING = 0.93
_VOICE_SMOOTHING = 0.02
"""Mean power of a second of voiced frames."""
_NEAR_MINIMUM = 3.0
_MINIMUM_FRAMES = 15
_NUM_MINIMA = 8
"""Minimum over 8 blocks of 15 frames: 2.4 s, longer than a held vowel, shorter than patience with a new fan."""


class VoiceActivityDetector:
    """Tells speech from room noise frame by frame; causal, with state of its own."""

    def __init__(self) -> None:
        window = np.hanning(FRAME_SAMPLES).astype(np.float32)
        self._window = window / np.float32(np.sqrt(np.mean(window**2)) * FRAME_SAMPLES * 32768.0)
        bins = np.round(np.array(_BAND_EDGES_HZ) * FRAME_MS / 1000).astype(int)
        self._first_bin, self._bins = int(bins[0]), bins
        self.reset()

    def reset(self) -> None:
        """Start afresh: nothing is known about the room."""
        num_bands = len(_BAND_EDGES_HZ) - 1
        self._num_frames = 0
        self._smoothed: NDArray[np.float64] | None = None
        self._minima = np.full((_NUM_MINIMA, num_bands), np.inf)
        self._floor = np.full(num_bands, np.inf)
        self._voice_power = 0.0

    @property
    def voice_to_noise_db(self) -> float:
        """How far the voice of the last seconds stands above the room; 0 before there was any."""
        noise = float(self._floor.sum())
        if self._voice_power <= 0.0 or not np.isfinite(noise):
            return 0.0
        return float(10.0 * np.log10(self._voice_power / noise))

    def process(self, pcm: NDArray[np.int16]) -> NDArray[np.bool_]:
        """Judge one packet.

        Args:
            pcm: [k * FRAME_SAMPLES] int16 at 48 kHz.

        Returns:
            [k] bool, True where there is voice.
        """
        if pcm.ndim != 1 or pcm.shape[0] % FRAME_SAMPLES:
            raise ValueError(f"voice detector wants whole frames of {FRAME_SAMPLES} samples, got {list(pcm.shape)}")
        frames = pcm.reshape(-1, FRAME_SAMPLES).astype(np.float32)
        spectrum = np.fft.rfft(frames * self._window, axis=1)  # [k, bins]
        power = 2.0 * (spectrum.real**2 + spectrum.imag**2).astype(np.float64)
        starts = self._bins[:-1] - self._first_bin
        bands = np.add.reduceat(power[:, self._first_bin : self._bins[-1]], starts, axis=1)  # [k, bands]
        return np.array([self._judge(row) for row in bands], dtype=np.bool_)

    def _judge(self, band_power: NDArray[np.float64]) -> bool:
        self._follow_floor(band_power)
        self._num_frames += 1
        if band_power.sum() < _QUIETEST_FRAME:
            return False
        if self._num_frames <= _START_FRAMES:
            return True
        lift_db = 10.0 * np.log10(np.maximum(band_power, 1e-20) / self._floor)
        is_voice = bool(np.clip(lift_db, 0.0, _MAX_LIFT_DB).mean() > _VOICE_DB)
        if is_voice:
            self._voice_power += _VOICE_SMOOTHING * (float(band_power.sum()) - self._voice_power)
        return is_voice

    def _follow_floor(self, band_power: NDArray[np.float64]) -> None:
        if self._smoothed is None:
            self._smoothed = band_power
        else:
            self._smoothed = _SMOOTHING * self._smoothed + (1 - _SMOOTHING) * band_power
        if self._num_frames % _MINIMUM_FRAMES == 0:  # a new block pushes out the oldest
            self._minima = np.roll(self._minima, 1, axis=0)
            self._minima[0] = self._smoothed
        else:
            self._minima[0] = np.minimum(self._minima[0], self._smoothed)
        minimum = np.maximum(self._minima.min(axis=0), _QUIETEST_FLOOR)
        is_noise = self._smoothed < _NEAR_MINIMUM * minimum
        averaged = _FLOOR_SMOOTHING * self._floor + (1 - _FLOOR_SMOOTHING) * band_power
        # A floor far from the minimum is out of date: the room got quieter (above) or louder (below).
        floor = np.where(is_noise & np.isfinite(self._floor), averaged, self._floor)
        self._floor = np.clip(floor, minimum, _NEAR_MINIMUM * minimum)
