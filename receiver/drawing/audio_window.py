"""The sound around a video frame, as the face model wants it: a ring of the playout signal at 16 kHz.

What is heard is what is seen: the window is cut from the very signal that is played, concealment included, by sample
time. [S] = past + look-ahead samples at 16 kHz around the frame.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from protocol.rtp_time import RTP_CLOCK_HZ
from talkface_core.sound.resample import StreamingResampler

RING_SECONDS = 4


class AudioWindow:
    """Takes the playout signal piece by piece, gives windows by playout sample."""

    def __init__(self, *, sample_rate_hz: int, past_samples: int, lookahead_samples: int) -> None:
        """Sizes are the model's (`FaceModelInfo`), in samples at `sample_rate_hz`.

        Raises:
            ValueError: the window does not fit the ring.
        """
        self._resampler = StreamingResampler(RTP_CLOCK_HZ, sample_rate_hz)
        self._rate_hz = sample_rate_hz
        self._past = past_samples
        self._lookahead = lookahead_samples
        self._ring = np.zeros(RING_SECONDS * sample_rate_hz, dtype=np.float32)
        self._count = 0
        if past_samples + lookahead_samples > self._ring.shape[0] // 2:
            raise ValueError(f"audio window of {past_samples} + {lookahead_samples} samples is over half the ring")

    @property
    def lookahead_us(self) -> int:
        """How much later than its own time a frame can be drawn at the earliest, resampling included."""
        return math.ceil((self._lookahead / self._rate_hz * 1000 + self._resampler.delay_ms) * 1000)

    def push(self, pcm: NDArray[np.int16]) -> None:
        """The next [n] samples of the playout signal at 48 kHz."""
        new = self._resampler.process(pcm.astype(np.float32) / 32768.0)
        size = self._ring.shape[0]
        for start in range(0, new.shape[0], size):
            part = new[start : start + size]
            at = (self._count + np.arange(part.shape[0])) % size
            self._ring[at] = part
            self._count += part.shape[0]

    def window_at(self, samples: int) -> NDArray[np.float32] | None:
        """[S] float32 in [-1, 1] around a playout sample; None while its look-ahead has not come.

        Silence stands for what was before the signal's start or has left the ring.
        """
        centre = round(samples * self._rate_hz / RTP_CLOCK_HZ)
        first, last = centre - self._past, centre + self._lookahead
        if last > self._count:
            return None
        at = np.arange(first, last)
        window: NDArray[np.float32] = self._ring[at % self._ring.shape[0]]
        known = (at >= 0) & (at >= self._count - self._ring.shape[0])
        return np.where(known, window, np.float32(0.0))
