"""Which video frames are due: frame k belongs to playout sample k · 48000 / frame rate, from the first sample on."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from protocol.rtp_time import RTP_CLOCK_HZ
from receiver.drawing.audio_window import AudioWindow
from receiver.drawing.style_concealment import StyleConcealment
from receiver.playout.tick_map import TickMap


@dataclass(frozen=True, slots=True)
class FrameJob:
    """All that is needed to draw one frame."""

    index: int
    samples: int
    """The frame's time: a sample of the playout signal."""
    audio: NDArray[np.float32]
    """[S]"""
    style: NDArray[np.float32] | None
    """[V], or None for d = 0."""


class FrameScheduler:
    """Turns sound that was made into frames to be drawn, in order, each exactly once."""

    def __init__(self, frame_rate: Fraction, window: AudioWindow, styles: StyleConcealment, tick_map: TickMap) -> None:
        self.ticks_per_frame = Fraction(RTP_CLOCK_HZ) / frame_rate
        self._window = window
        self._styles = styles
        self._tick_map = tick_map
        self._next_index = 0

    def samples_of(self, index: int) -> int:
        """Playout sample of a frame, rounded once."""
        return round(index * self.ticks_per_frame)

    def frames_before(self, samples: float) -> int:
        """How many frames have their time before this playout sample."""
        return 0 if samples <= 0 else int((Fraction(round(samples)) - 1) // self.ticks_per_frame) + 1

    def take_jobs(self) -> list[FrameJob]:
        """The frames whose sound, look-ahead included, is there now."""
        jobs: list[FrameJob] = []
        while True:
            samples = self.samples_of(self._next_index)
            audio = self._window.window_at(samples)
            if audio is None:
                return jobs
            style = self._styles.style_for_frame(self._tick_map.ticks_at(samples))
            jobs.append(FrameJob(self._next_index, samples, audio, style))
            self._next_index += 1
