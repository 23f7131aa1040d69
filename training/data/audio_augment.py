"""Other voices saying the same thing at the same time: pitch, formants, noise, and Opus as the receiver hears it.

One speaker's voice is too little for lips that must follow any voice. Duration never changes, so the mouth stays in
step. All functions are deterministic in their arguments.

Shapes: S samples at 16 kHz, float32 in [-1, 1].
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torchaudio.functional as AF
from numpy.typing import NDArray
from torch import Tensor

from training.config import AudioSection

SAMPLE_RATE_HZ = 16_000
_FFT = 512
_HOP = 128
_LIFTER = 48
"""Cepstral coefficients that count as the spectral envelope: 3 ms, below the pitch period of voices up to 330 Hz."""

_ENVELOPE_ROUNDS = 12


@dataclass(frozen=True, slots=True)
class VoiceChange:
    """How a voice is changed."""

    pitch: float = 1.0
    """Factor on the fundamental."""
    formants: float = 1.0
    """Factor on the resonances; above 1 is a shorter vocal tract."""
    noise_db: float | None = None
    """Signal-to-noise ratio of added noise, None for none."""
    opus_bps: int | None = None
    """Rate of the Opus round trip, None for none."""
    seed: int = 0
    """Of the noise."""


def draw_voice(config: AudioSection, rng: np.random.Generator) -> VoiceChange:
    """A random voice within what speech has: pitch over an octave either way, formants ± 20 %."""
    return VoiceChange(
        pitch=float(2.0 ** rng.uniform(-0.8, 0.8)),
        formants=float(2.0 ** rng.uniform(-0.26, 0.26)),
        noise_db=float(rng.uniform(10, 30)) if rng.random() < config.noise_share else None,
        opus_bps=int(rng.choice(config.opus_bps)) if config.opus_bps else None,
        seed=int(rng.integers(2**31)),
    )


def apply_voice(samples: NDArray[np.int16], change: VoiceChange) -> NDArray[np.int16]:
    """The clip in another voice, same length.

    Args:
        samples: [S] int16.
    """
    wave = torch.from_numpy(samples.astype(np.float32) / 32768)
    if change.pitch != 1.0 or change.formants != 1.0:
        wave = change_pitch_and_formants(wave, change.pitch, change.formants)
    if change.noise_db is not None:
        wave = add_noise(wave, change.noise_db, change.seed)
    changed: NDArray[np.int16] = (wave.clamp(-1, 1) * 32767).round().to(torch.int16).numpy()
    return opus_round_trip(changed, change.opus_bps) if change.opus_bps is not None else changed


def change_pitch_and_formants(wave: Tensor, pitch: float, formants: float) -> Tensor:
    """Shift the fundamental by `pitch` and the resonances by `formants`, independently, keeping time.

    The spectrum is split into envelope and fine structure by its cepstrum. The fine structure is shifted by resampling
    after a phase vocoder has stretched time by the same factor; the envelope is warped along frequency.

    Args:
        wave: [S]

    Returns:
        [S]
    """
    window = torch.hann_window(_FFT)
    spectrum = torch.stft(wave, _FFT, _HOP, window=window, return_complex=True)
    envelope = spectral_envelope(spectrum.abs())
    flat = spectrum / envelope
    if pitch != 1.0:
        advance = torch.linspace(0, math.pi * _HOP, _FFT // 2 + 1)[:, None]
        stretched = AF.phase_vocoder(flat, 1 / pitch, advance)
        excitation = torch.istft(stretched, _FFT, _HOP, window=window, length=round(len(wave) * pitch))
        # Rates in hundredths keep the resampler's filter bank small.
        excitation = AF.resample(excitation, round(100 * pitch), 100)
        excitation = torch.nn.functional.pad(excitation, (0, max(0, len(wave) - len(excitation))))[: len(wave)]
        flat = torch.stft(excitation, _FFT, _HOP, window=window, return_complex=True)
    bins = torch.arange(_FFT // 2 + 1) / formants
    low = bins.floor().long().clamp(max=_FFT // 2)
    high = (low + 1).clamp(max=_FFT // 2)
    part = (bins - low).clamp(0, 1)[:, None]
    warped = envelope[low] * (1 - part) + envelope[high] * part
    frames = min(flat.shape[1], warped.shape[1])
    changed = torch.istft(flat[:, :frames] * warped[:, :frames], _FFT, _HOP, window=window, length=len(wave))
    loudness = wave.square().mean().sqrt() / changed.square().mean().sqrt().clamp_min(1e-6)
    return changed * loudness.clamp(max=4.0)


def spectral_envelope(magnitude: Tensor) -> Tensor:
    """Smooth curve over the partials' peaks, [F, T] to [F, T], above 0.

    "True envelope" (Röbel and Rodet 2005): cepstral smoothing pulls the curve between peaks and valleys; lifting the
    valleys to the curve and smoothing again lets it rise to the peaks.
    """
    target = magnitude.clamp_min(1e-4).log()
    log = target
    smooth = target
    for _ in range(_ENVELOPE_ROUNDS):
        cepstrum = torch.fft.irfft(log.to(torch.complex64), n=_FFT, dim=0)
        cepstrum[_LIFTER : _FFT - _LIFTER + 1] = 0
        smooth = torch.fft.rfft(cepstrum, dim=0).real
        log = torch.maximum(target, smooth)
    return smooth.exp()


def add_noise(wave: Tensor, snr_db: float, seed: int) -> Tensor:
    """Add noise with a random spectral tilt (white to pink) at a signal-to-noise ratio."""
    rng = torch.Generator().manual_seed(seed)
    spectrum = torch.fft.rfft(torch.randn(wave.shape, generator=rng))
    tilt = float(torch.rand((), generator=rng))
    shape = torch.arange(1, spectrum.shape[0] + 1, dtype=torch.float32) ** (-tilt / 2)
    noise = torch.fft.irfft(spectrum * shape, n=wave.shape[0])
    gain = wave.square().mean().sqrt() / noise.square().mean().sqrt().clamp_min(1e-9) * 10 ** (-snr_db / 20)
    return wave + noise * gain


def opus_round_trip(samples: NDArray[np.int16], bitrate_bps: int, packet_ms: int = 60) -> NDArray[np.int16]:
    """Encode and decode with libopus as a call does; the codec's own delay (6.5 ms) stays, as at the receiver.

    Raises:
        talkface_core.sound.opus.OpusError: there is no libopus here.
    """
    from talkface_core.sound.opus import OpusDecoder, OpusEncoder

    with (
        OpusEncoder(bitrate_bps, packet_ms, sample_rate_hz=SAMPLE_RATE_HZ) as encoder,
        OpusDecoder(SAMPLE_RATE_HZ) as decoder,
    ):
        step = SAMPLE_RATE_HZ * packet_ms // 1000
        padded = np.pad(samples, (0, -len(samples) % step))
        parts = [decoder.decode(encoder.encode(padded[i : i + step])) for i in range(0, len(padded), step)]
    return np.concatenate(parts)[: len(samples)]


def clip_voice(
    config: AudioSection, seed: int, clip_index: int, voice: int, samples: NDArray[np.int16]
) -> NDArray[np.int16]:
    """A clip's sound in its voice `voice`; 0 is its own."""
    rng = np.random.default_rng([seed, 7, clip_index, voice])
    if voice:
        return apply_voice(samples, draw_voice(config, rng))
    # The own voice passes through Opus too: nobody at the far end hears anything else.
    opus = int(rng.choice(config.opus_bps)) if config.opus_bps else None
    return apply_voice(samples, VoiceChange(opus_bps=opus))


class VoiceCache:
    """Changed voices of clips, made on first use and kept; voice 0 is the clip's own."""

    def __init__(self, config: AudioSection, seed: int) -> None:
        self._config = config
        self._seed = seed
        self._voices: dict[tuple[int, int], NDArray[np.int16]] = {}

    def get(self, clip_index: int, voice: int, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        """The clip's sound in voice `voice`, 0..config.voices; the same on every machine and after every resume."""
        key = (clip_index, voice)
        if key not in self._voices:
            self._voices[key] = clip_voice(self._config, self._seed, clip_index, voice, samples)
        return self._voices[key]

    def choose(self, rng: np.random.Generator) -> int:
        """Draw a voice number."""
        if self._config.voices == 0 or rng.random() < self._config.own_voice:
            return 0
        return int(rng.integers(1, self._config.voices + 1))
