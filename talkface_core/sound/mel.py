"""Log-mel spectrograms of windows that are placed by sample time (paper III.B, eq. 1).

16 kHz, FFT 1024, hop 256, 80 bins. At 25 frames/s a video frame is 640 samples = 2.5 hops, so windows are cut from
the waveform at each frame's own time instead of from one spectrogram: sound and picture cannot drift apart, and
streaming gives the same numbers as offline because both transform the same window.

Shapes: S = 8192 samples of window, M = 29 spectrogram columns, 80 bins.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

SAMPLE_RATE_HZ = 16_000
FFT_SAMPLES = 1024
HOP_SAMPLES = 256
MEL_BINS = 80
WINDOW_SAMPLES = FFT_SAMPLES + 28 * HOP_SAMPLES
"""S: 512 ms of sound per video frame."""
LOOKAHEAD_SAMPLES = 1920
"""Of the window, the part after the frame's time: 120 ms. Lips move before they are heard."""
PAST_SAMPLES = WINDOW_SAMPLES - LOOKAHEAD_SAMPLES
WINDOW_COLUMNS = (WINDOW_SAMPLES - FFT_SAMPLES) // HOP_SAMPLES + 1
"""M"""
SAMPLES_PER_FRAME = SAMPLE_RATE_HZ // 25

_FLOOR = 1e-5
_LOG_MEAN, _LOG_SCALE = -6.0, 3.0
"""Log-mel energies of speech lie around -6 +- 3; this brings them near zero mean and unit variance."""


def num_segments(length: int, window: int, hop: int) -> int:
    """N of paper III.B: floor((L - w + l) / l) + 1 segments of a waveform of `length` samples."""
    return (length - window + hop) // hop + 1


def mel_filters() -> Tensor:
    """Triangular filters, equally spaced on the HTK mel scale from 0 to 8 kHz: [80, 513] float32."""

    def mel(hz: float) -> float:
        return 2595.0 * math.log10(1.0 + hz / 700.0)

    points = torch.linspace(0.0, mel(SAMPLE_RATE_HZ / 2), MEL_BINS + 2, dtype=torch.float64)
    edges = 700.0 * (10.0 ** (points / 2595.0) - 1.0)  # [82] Hz
    bins = torch.arange(FFT_SAMPLES // 2 + 1, dtype=torch.float64) * SAMPLE_RATE_HZ / FFT_SAMPLES
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return torch.minimum(rising, falling).clamp(min=0.0).float()


class MelWindow(nn.Module):
    """Windows of waveform to normalised log-mel pictures."""

    hann: Tensor
    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("hann", torch.hann_window(FFT_SAMPLES), persistent=False)
        self.register_buffer("filters", mel_filters(), persistent=False)

    def forward(self, windows: Tensor) -> Tensor:
        """[B, S] float32 in [-1, 1] at 16 kHz -> [B, 1, 80, M] float32, about zero mean and unit variance."""
        if windows.shape[-1] != WINDOW_SAMPLES:
            raise ValueError(f"audio windows must be {WINDOW_SAMPLES} samples long, not {windows.shape[-1]}")
        return _log_mel(windows, HOP_SAMPLES, self.hann, self.filters).transpose(1, 2).unsqueeze(1)


def mel_columns(waveform: Tensor, hop: int) -> Tensor:
    """Columns of a whole waveform [B, L], one per `hop` samples: [B, (L - 1024) // hop + 1, 80]."""
    return _log_mel(waveform, hop, torch.hann_window(FFT_SAMPLES), mel_filters())


def _log_mel(waveform: Tensor, hop: int, hann: Tensor, filters: Tensor) -> Tensor:
    columns = waveform.unfold(-1, FFT_SAMPLES, hop) * hann  # [B, M, 1024]
    magnitude = torch.fft.rfft(columns).abs()  # [B, M, 513]
    energies = magnitude @ filters.t()  # [B, M, 80]
    return (energies.clamp(min=_FLOOR).log() - _LOG_MEAN) / _LOG_SCALE


def frame_window(waveform: Tensor, frame: int) -> Tensor:
    """The window of video frame `frame` at 25 frames/s from a whole waveform [L], zero outside it: [S]."""
    start = frame * SAMPLES_PER_FRAME - PAST_SAMPLES
    window = waveform.new_zeros(WINDOW_SAMPLES)
    low, high = max(start, 0), min(start + WINDOW_SAMPLES, waveform.shape[-1])
    if high > low:
        window[low - start : high - start] = waveform[low:high]
    return window
