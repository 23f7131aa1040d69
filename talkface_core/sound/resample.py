"""Streaming change of the sample rate by an exact ratio: a polyphase Kaiser-windowed sinc.

Output sample n stands for time n / output rate exactly, whatever the chunks: with input rate M·g and output rate L·g
(g the greatest common divisor) it is centred on input position n·M/L, whose fractional part selects one of L filter
phases (Crochiere and Rabiner, Multirate Digital Signal Processing, chapter 3). There is no shift in time; output
only comes `delay_samples` input samples late, because the filter looks that far ahead.

[n]: mono float32.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

ZERO_CROSSINGS = 48
"""Sinc zero crossings on each side: transition band of 11 % of the lower Nyquist frequency."""
ROLLOFF = 0.945
"""Cut-off relative to the lower Nyquist frequency, so that the stop band begins at it."""
KAISER_BETA = 8.96
"""90 dB of stop-band attenuation."""
MIN_RATE_HZ = 4_000
MAX_RATE_HZ = 384_000
_BLOCK = 2048
_MAX_PHASES = 1024
"""Ratios with more phases (44 101 to 48 000 Hz) interpolate between neighbouring filters, 100 dB below the signal;
times stay exact and the table stays small."""


def _num_phases(up: int) -> int:
    return min(up, _MAX_PHASES)


@functools.lru_cache(maxsize=8)
def _filter_bank(up: int, down: int) -> NDArray[np.float32]:
    """[rows, taps] float32: the filters for outputs whose input position has fraction row / _num_phases(up)."""
    cutoff = ROLLOFF * min(1.0, up / down)  # relative to the input's Nyquist frequency
    half = math.ceil(ZERO_CROSSINGS / cutoff)
    # Tap k of phase p multiplies the input sample at floor(position) + k - (half - 1).
    num_phases = _num_phases(up)
    fraction = np.arange(num_phases + (num_phases < up)) / num_phases  # the fraction 1 only to interpolate towards
    offset = np.arange(2 * half)[None, :] - (half - 1) - fraction[:, None]  # [rows, taps]
    window = np.i0(KAISER_BETA * np.sqrt(np.clip(1.0 - (offset / half) ** 2, 0.0, None))) / np.i0(KAISER_BETA)
    bank = cutoff * np.sinc(cutoff * offset) * window
    bank /= bank.sum(axis=1, keepdims=True)  # unity gain at 0 Hz in every phase
    rounded: NDArray[np.float32] = bank.astype(np.float32)
    rounded.setflags(write=False)
    return rounded


class StreamingResampler:
    """Resamples a mono stream chunk by chunk; any chunking gives the same samples as one call."""

    def __init__(self, input_rate_hz: int, output_rate_hz: int) -> None:
        """Prepare the filter; equal rates pass samples through with no delay.

        Raises:
            ValueError: a rate is outside MIN_RATE_HZ..MAX_RATE_HZ.
        """
        for rate in (input_rate_hz, output_rate_hz):
            if not MIN_RATE_HZ <= rate <= MAX_RATE_HZ:
                raise ValueError(f"sample rate {rate} Hz: must be {MIN_RATE_HZ} to {MAX_RATE_HZ}")
        divisor = math.gcd(input_rate_hz, output_rate_hz)
        self.input_rate_hz = input_rate_hz
        self.output_rate_hz = output_rate_hz
        self._up = output_rate_hz // divisor
        self._down = input_rate_hz // divisor
        self._is_identity = self._up == self._down
        self._bank = np.ones((1, 2), np.float32) if self._is_identity else _filter_bank(self._up, self._down)
        self._half = self._bank.shape[1] // 2
        self.delay_samples = 0 if self._is_identity else self._half
        """Input samples after an output's time that must have come before it is returned."""
        self.reset()

    @property
    def delay_ms(self) -> float:
        """`delay_samples` as time."""
        return 1000.0 * self.delay_samples / self.input_rate_hz

    def reset(self) -> None:
        """Start a new stream: time 0, silence before it."""
        # _buffer[0] is the input sample at _buffer_start; the stream is silent before sample 0.
        self._buffer: NDArray[np.float32] = np.zeros(self._half - 1, np.float32)
        self._buffer_start = -(self._half - 1)
        self._num_input = 0
        self._num_output = 0

    def process(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take [n] samples, return the output that they complete, [m] with m >= 0."""
        if samples.ndim != 1:
            raise ValueError(f"resampler wants mono samples [n], got {list(samples.shape)}; mix down first")
        samples = samples.astype(np.float32, copy=False)
        self._num_input += samples.shape[0]
        if self._is_identity:
            self._num_output += samples.shape[0]
            return samples
        self._buffer = np.concatenate([self._buffer, samples])
        # Output n needs input up to floor(n·M/L) + half, which must be below the number of samples that came.
        last_position = self._num_input - 1 - self._half
        num_ready = (last_position * self._up + self._up - 1) // self._down + 1 if last_position >= 0 else 0
        return self._produce(max(num_ready - self._num_output, 0))

    def flush(self) -> NDArray[np.float32]:
        """End the stream with silence and return what is left, in total ceil(inputs · L / M) samples; then reset."""
        num_total = -(-self._num_input * self._up // self._down)
        if self._is_identity:
            tail = np.zeros(0, np.float32)
        else:
            self._buffer = np.concatenate([self._buffer, np.zeros(self._half + 1, np.float32)])
            tail = self._produce(max(num_total - self._num_output, 0))
        self.reset()
        return tail

    def _produce(self, count: int) -> NDArray[np.float32]:
        if count == 0:
            return np.zeros(0, np.float32)
        scaled = np.arange(self._num_output, self._num_output + count, dtype=np.int64) * self._down
        first = scaled // self._up - (self._half - 1) - self._buffer_start  # [count] first tap's index in the buffer
        windows = np.lib.stride_tricks.sliding_window_view(self._buffer, self._bank.shape[1])
        phase = scaled % self._up
        num_phases = _num_phases(self._up)
        row, rest = phase * num_phases // self._up, phase * num_phases % self._up
        weight = (rest / self._up).astype(np.float32)[:, None]
        output = np.empty(count, np.float32)
        for start in range(0, count, _BLOCK):  # bounds the memory of the gathered windows
            rows = slice(start, start + _BLOCK)
            # einsum sums each row on its own, so the result does not depend on how many rows are asked for at once.
            taps = self._bank[row[rows]]
            if num_phases < self._up:
                taps = taps + weight[rows] * (self._bank[row[rows] + 1] - taps)
            output[rows] = np.einsum("nk,nk->n", windows[first[rows]], taps)
        self._num_output += count
        next_position = self._num_output * self._down // self._up - (self._half - 1)
        keep_from = min(max(next_position - self._buffer_start, 0), self._buffer.shape[0])
        self._buffer = self._buffer[keep_from:].copy()
        self._buffer_start += keep_from
        return output


def resample(samples: NDArray[np.float32], input_rate_hz: int, output_rate_hz: int) -> NDArray[np.float32]:
    """Resample a whole mono signal [n] to [ceil(n · output / input)] float32."""
    resampler = StreamingResampler(input_rate_hz, output_rate_hz)
    return np.concatenate([resampler.process(samples), resampler.flush()])
