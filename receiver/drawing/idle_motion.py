"""How a face moves when nothing says how: quietly, as this person moved a moment ago.

Values of the style bottleneck have no fixed meaning, so a blink cannot be drawn by hand. Instead the recent past of
this very face is played back and forth around its mean, softened; before there is a past, a recorded style track.
The lips layer stays at rest: with silence for sound that is a closed mouth.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from talkface_core.interfaces import BASE_STYLE_VALUES, STYLE_VALUES

HISTORY_FRAMES = 250
"""10 s at 25 frames/s: a few blinks and turns of the head."""
MIN_HISTORY_FRAMES = 75
AMPLITUDE = 0.7
MAX_ABSOLUTE_VALUE = 2.0
"""In standard deviations; idle motion never grimaces."""


class IdleMotion:
    """Style values for frames without style; bounded, continuous, never ending."""

    def __init__(self, track: NDArray[np.float32] | None = None) -> None:
        """`track`: [T, V] style values at the frame rate to start from, or None.

        Raises:
            ValueError: `track` has another shape or is empty.
        """
        if track is not None and (track.ndim != 2 or track.shape[0] < 1 or track.shape[1] != STYLE_VALUES):
            raise ValueError(f"idle track: wants [T, {STYLE_VALUES}], got {list(track.shape)}")
        self._track = None if track is None else _calm(track)
        self._history: deque[NDArray[np.float32]] = deque(maxlen=HISTORY_FRAMES)
        self._playing: NDArray[np.float32] | None = None
        self._position = 0

    def remember(self, values: NDArray[np.float32]) -> None:
        """[V] values that were shown and came from the far end, one call per frame."""
        self._history.append(values)
        self._playing = None

    def next_frame(self) -> NDArray[np.float32] | None:
        """[V] for the next idle frame; None when nothing is known about this face (then d = 0)."""
        if self._playing is None:
            if len(self._history) >= MIN_HISTORY_FRAMES:
                # Backwards first: the idle motion starts where the received one stopped.
                self._playing = _calm(np.stack(self._history)[::-1])
            else:
                self._playing = self._track
            self._position = 0
        if self._playing is None:
            return None
        last = self._playing.shape[0] - 1
        index = last - abs(self._position % (2 * last) - last) if last > 0 else 0
        self._position += 1
        frame: NDArray[np.float32] = self._playing[index]
        return frame


def _calm(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """[T, V] softened around its mean, lips at rest."""
    base = values[:, :BASE_STYLE_VALUES].astype(np.float32)
    mean = base.mean(axis=0)
    calm = np.zeros_like(values, dtype=np.float32)
    calm[:, :BASE_STYLE_VALUES] = np.clip(mean + AMPLITUDE * (base - mean), -MAX_ABSOLUTE_VALUE, MAX_ABSOLUTE_VALUE)
    return calm
