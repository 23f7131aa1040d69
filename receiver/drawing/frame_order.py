"""Drawn frames in the order in which they were begun, whichever thread finishes first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class DrawnFrame:
    """A frame out of the model."""

    index: int
    samples: int
    image: NDArray[np.uint8]
    """[R, R, 3] RGB."""


class FrameOrder:
    """Holds a finished frame until all that were begun before it are finished."""

    def __init__(self, on_frame: Callable[[DrawnFrame], None]) -> None:
        """`on_frame` is called on one of the finishing threads at a time with every frame, in order."""
        self._on_frame = on_frame
        self._num_begun = 0
        self._num_handed_on = 0
        self._lock = threading.Lock()
        self._finished: dict[int, DrawnFrame | None] = {}
        """By turn: finished before an older one; None where there is no picture."""

    def begin(self) -> int:
        """The turn of the next frame. Callers hold the lock under which they choose it."""
        turn = self._num_begun
        self._num_begun += 1
        return turn

    def finish(self, turn: int, frame: DrawnFrame | None) -> None:
        """Hand on what is finished, up to the oldest frame that is still being drawn; None when it was not drawn."""
        with self._lock:
            self._finished[turn] = frame
            while self._num_handed_on in self._finished:
                ready = self._finished.pop(self._num_handed_on)
                self._num_handed_on += 1
                if ready is not None:
                    self._on_frame(ready)
