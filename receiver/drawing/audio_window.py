"""The sound around a video frame, as the face model wants it: the last seconds of the playout signal at 16 kHz.

What is heard is what is seen: the window is cut from the very signal that is played, concealment included, by sample
time. [S] = past + look-ahead samples at 16 kHz around the frame.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from protocol.rtp_time import RTP_CLOCK_HZ
from receiver.playout.sound_tools import WindowResampler
from talkface_core.sound.resample import StreamingResampler

KEPT_SECONDS = 4


class AudioWindow:
    """Takes the playout signal piece by piece, gives windows by playout sample."""

    def __init__(
        self,
        *,
        sample_rate_hz: int,
        past_samples: int,
        lookahead_samples: int,
        make_resampler: Callable[[int, int], WindowResampler] = StreamingResampler,
    ) -> None:
        """Sizes are the model's (`FaceModelInfo`), in samples at `sample_rate_hz`.

        Raises:
            ValueError: the window does not fit into what is kept.
        """
        self._resampler = make_resampler(RTP_CLOCK_HZ, sample_rate_hz)
        self._rate_hz = sample_rate_hz
        self._past = past_samples
        self._lookahead = lookahead_samples
        self._kept = KEPT_SECONDS * sample_rate_hz
        # The newest `_kept` samples lie in one piece before `_end`; when the store is full they move to its front.
        self._store = np.zeros(2 * self._kept, dtype=np.float32)
        self._end = self._kept
        self._count = 0
        if past_samples + lookahead_samples > self._kept // 2:
            raise ValueError(
                f"audio window of {past_samples} + {lookahead_samples} samples is over half of what is kept"
            )

    @property
    def lookahead_us(self) -> int:
        """How much later than its own time a frame can be drawn at the earliest, resampling included."""
        return math.ceil((self._lookahead / self._rate_hz * 1000 + self._resampler.delay_ms) * 1000)

    def push(self, pcm: NDArray[np.int16]) -> None:
        """The next [n] samples of the playout signal at 48 kHz."""
        new = self._resampler.process(pcm.astype(np.float32) / 32768.0)
        for start in range(0, new.shape[0], self._kept):
            part = new[start : start + self._kept]
            if self._end + part.shape[0] > self._store.shape[0]:
                self._store[: self._kept] = self._store[self._end - self._kept : self._end]
                self._end = self._kept
            self._store[self._end : self._end + part.shape[0]] = part
            self._end += part.shape[0]
            self._count += part.shape[0]

    def window_at(self, samples: int) -> NDArray[np.float32] | None:
        """[S] float32 in [-1, 1] around a playout sample; None while its look-ahead has not come.

        Silence stands for what was before the signal's start or is not kept any more.
        """
        centre = round(samples * self._rate_hz / RTP_CLOCK_HZ)
        first, last = centre - self._past, centre + self._lookahead
        if last > self._count:
            return None
        num_gone = min(max(0, self._count - self._kept - first), last - first)
        offset = self._end - self._count
        window = np.zeros(last - first, dtype=np.float32)
        window[num_gone:] = self._store[offset + first + num_gone : offset + last]
        return window
