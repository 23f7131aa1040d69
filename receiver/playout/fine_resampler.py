"""Sound stretched by parts per million, to follow the sender's clock: windowed-sinc interpolation.

The ratio may change at every call without a click, because the position in the input is carried on. At ratio 1 the
samples pass through unchanged (16 taps of delay line apart), so a call without measurable skew is bit exact.

[n]: mono int16 at 48 kHz.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_RATIO_PPM = 500.0
HALF_TAPS = 8
"""Taps on each side; speech at 8 kHz bandwidth in 48 kHz sound leaves a wide transition band."""
_PHASES = 1024
_KAISER_BETA = 7.0


def _filter_bank() -> NDArray[np.float32]:
    """[phases + 1, taps]: row p interpolates at the fraction p / phases between the two middle samples."""
    offset = np.arange(-HALF_TAPS + 1, HALF_TAPS + 1)[None, :] - np.arange(_PHASES + 1)[:, None] / _PHASES
    window = np.i0(_KAISER_BETA * np.sqrt(np.clip(1.0 - (offset / HALF_TAPS) ** 2, 0.0, None)))
    bank = np.sinc(offset) * window
    bank /= bank.sum(axis=1, keepdims=True)
    return bank.astype(np.float32)


class FineResampler:
    """Reads the input at 1 + ppm/1e6 samples per output sample; delays by `HALF_TAPS` samples (0.17 ms)."""

    def __init__(self) -> None:
        self._bank = _filter_bank()
        self._history = np.zeros(2 * HALF_TAPS, dtype=np.float32)
        self._position = float(HALF_TAPS)
        """Of the next output sample, in samples from the start of `_history`."""

    def process(self, pcm: NDArray[np.int16], ppm: float) -> NDArray[np.int16]:
        """Resample [n] to [m] int16 with m = n / (1 + ppm/1e6), rounded so that nothing is lost over time.

        Raises:
            ValueError: |ppm| over MAX_RATIO_PPM.
        """
        if abs(ppm) > MAX_RATIO_PPM:
            raise ValueError(f"resampling by {ppm} ppm: at most {MAX_RATIO_PPM} either way")
        signal = np.concatenate([self._history, pcm.astype(np.float32)])
        step = 1.0 + ppm * 1e-6
        last = signal.shape[0] - HALF_TAPS  # outputs lie in [.., last)
        count = max(0, int(np.ceil((last - self._position) / step)))
        positions = self._position + step * np.arange(count)
        first = np.floor(positions).astype(np.int64)
        phase = np.rint((positions - first) * _PHASES).astype(np.int64)
        if not phase.any():
            output = signal[first]
        else:
            windows = np.lib.stride_tricks.sliding_window_view(signal, 2 * HALF_TAPS)
            output = np.einsum("nk,nk->n", windows[first - HALF_TAPS + 1], self._bank[phase])
        keep = signal.shape[0] - 2 * HALF_TAPS
        self._position += step * count - keep
        self._history = signal[keep:]
        clipped: NDArray[np.int16] = np.clip(np.rint(output), -32768, 32767).astype(np.int16)
        return clipped
