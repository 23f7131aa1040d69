"""Style for every video frame from a few style vectors a second, some of them lost.

Between two vectors: a straight line in time. After the last one: hold, then ease into idle motion (or to neutral
when no idle motion is known); the mouth goes on moving, because the sound moves it. When style comes back the face
eases from where it is, so that it never jumps.

[V]: style values. Ticks: sender's timeline, 48 kHz.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque

import numpy as np
from numpy.typing import NDArray

from protocol.rtp_time import TICKS_PER_MS
from receiver.drawing.idle_motion import IdleMotion
from receiver.drawing.style_receiver import TimedStyle
from talkface_core.interfaces import STYLE_VALUES

MAX_INTERPOLATION_TICKS = 1_500 * TICKS_PER_MS
"""Vectors farther apart than this do not belong to one movement."""
HOLD_TICKS = 250 * TICKS_PER_MS
DECAY_TICKS = 500 * TICKS_PER_MS
"""Time constant of the way to idle motion."""
RETURN_FRAMES = 6
"""Frames over which the face goes over to style that is back."""
MAX_VECTORS = 256


class StyleConcealment:
    """Vectors in, one style per frame out; frames are asked for in order."""

    def __init__(self, idle: IdleMotion | None = None) -> None:
        self.num_concealed_frames = 0
        """Frames for which no received style was at hand."""
        self._idle = idle or IdleMotion()
        self._vectors: deque[TimedStyle] = deque(maxlen=MAX_VECTORS)
        self._shown: NDArray[np.float32] | None = None
        self._return_frames = 0

    def add(self, style: TimedStyle) -> None:
        """A received vector; misordered ones are passed over."""
        if not self._vectors or style.ticks > self._vectors[-1].ticks:
            self._vectors.append(style)

    def restart(self) -> None:
        """Forget the vectors (another identity or stream); the face eases over to what comes."""
        self._vectors.clear()

    def style_for_frame(self, ticks: float | None) -> NDArray[np.float32] | None:
        """[V] float32 for the frame at this sender tick (None: not known), or None for d = 0."""
        received, weight = self._received_at(ticks)
        if received is not None and weight >= 1.0:
            shown = self._ease(received)
            self._idle.remember(shown)
        else:
            self.num_concealed_frames += 1
            idle = self._idle.next_frame()
            if received is None and idle is None and self._shown is None:
                return None
            rest = np.zeros(STYLE_VALUES, dtype=np.float32) if idle is None else idle
            target = rest if received is None else _between(rest, received, weight)
            # From a hold the decay itself is smooth; from anywhere else, ease.
            shown = target if received is not None else self._towards(target)
            self._return_frames = RETURN_FRAMES
        self._shown = shown
        return shown

    def _received_at(self, ticks: float | None) -> tuple[NDArray[np.float32] | None, float]:
        """Received values for this instant, and how much they count (1: fully)."""
        if ticks is None or not self._vectors:
            return None, 0.0
        index = bisect_right(self._vectors, ticks, key=lambda style: style.ticks)
        following = self._vectors[index] if index < len(self._vectors) else None
        if index == 0:
            return None, 0.0
        previous = self._vectors[index - 1]
        if following is not None and following.ticks - previous.ticks <= MAX_INTERPOLATION_TICKS:
            share = (ticks - previous.ticks) / (following.ticks - previous.ticks)
            return _between(previous.values, following.values, share), 1.0
        age_ticks = ticks - previous.ticks
        if age_ticks <= HOLD_TICKS:
            return previous.values, 1.0
        weight = math.exp(-(age_ticks - HOLD_TICKS) / DECAY_TICKS)
        return (previous.values, weight) if weight > 0.01 else (None, 0.0)

    def _ease(self, target: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._shown is None or self._return_frames == 0:
            return target
        eased = _between(self._shown, target, 1 / self._return_frames)
        self._return_frames -= 1
        return eased

    def _towards(self, target: NDArray[np.float32]) -> NDArray[np.float32]:
        return target if self._shown is None else _between(self._shown, target, 1 / RETURN_FRAMES)


def _between(start: NDArray[np.float32], end: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    return (start + np.float32(share) * (end - start)).astype(np.float32)
