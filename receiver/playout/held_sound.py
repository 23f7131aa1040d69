"""Sound between decoding and leaving: it waits until the picture that belongs to it has been drawn."""

from __future__ import annotations

from collections import deque
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from receiver.playout.audio_playout import PlayoutChunk
from receiver.playout.media_clock import MediaClock

MAX_HELD_CHUNKS = 512
"""0.2 s of pieces of 20 to 120 ms, so a full store means a clock that stopped."""


class SoundOutlet(Protocol):
    """Where sound leaves."""

    def play_early(self, start_samples: int, pcm: NDArray[np.int16]) -> None:
        """[n] int16, `lead_us` before it leaves: for a loudspeaker."""
        ...

    def play(self, start_samples: int, pcm: NDArray[np.int16]) -> None:
        """[n] int16, when it leaves."""
        ...


class HeldSound:
    """Gives each piece of sound away twice, early and at its time; drops the oldest when full. Time is an argument."""

    def __init__(self, clock: MediaClock, outlet: SoundOutlet, *, lead_us: int) -> None:
        """`lead_us`: how much earlier "early" is."""
        self._clock = clock
        self._lead_us = lead_us
        self._outlet = outlet
        self._early: deque[PlayoutChunk] = deque(maxlen=MAX_HELD_CHUNKS)
        self._held: deque[PlayoutChunk] = deque(maxlen=MAX_HELD_CHUNKS)

    def add(self, chunk: PlayoutChunk) -> None:
        """The next piece of the playout signal."""
        self._early.append(chunk)

    def release(self, now_us: int) -> None:
        """Give away what is due."""
        while self._early and self._early_us() <= now_us:
            chunk = self._early.popleft()
            self._outlet.play_early(chunk.start_samples, chunk.pcm)
            self._held.append(chunk)
        while self._held and self._leaves_us() <= now_us:
            chunk = self._held.popleft()
            self._outlet.play(chunk.start_samples, chunk.pcm)

    @property
    def next_due_us(self) -> int | None:
        """When the next piece must be given away; None while none is held."""
        times = [self._early_us()] if self._early else []
        if self._held:
            times.append(self._leaves_us())
        return min(times, default=None)

    def _early_us(self) -> int:
        return self._clock.leaves_us(self._early[0].start_samples) - self._lead_us

    def _leaves_us(self) -> int:
        return self._clock.leaves_us(self._held[0].start_samples)
