"""Where sound and pictures come from: the interfaces, and what files and devices have in common.

Media time is counted in 48 kHz ticks from the start of the source, for sound and pictures alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 48_000
MAX_PICTURE_SIDE_PX = 8192
"""Larger pictures are refused: no camera makes them, and one frame would take 200 MB."""
STYLE_PICTURE_SIDE_PX = 640
"""Pictures are scaled down to this longer side before the face is looked for."""


class AudioSource(Protocol):
    """Mono sound at 48 kHz; used from one thread after `open`."""

    is_live: bool
    """True when `read` waits for a device, whose clock is the master; False when the caller paces."""

    def open(self) -> None:
        """Open file or device and check that it gives sound.

        Raises:
            sender.errors.SourceError: it does not.
        """
        ...

    def read(self, num_samples: int) -> NDArray[np.int16] | None:
        """The next [num_samples]; the last ones are filled up with silence, then None.

        Raises:
            sender.errors.SourceError: the device went away.
        """
        ...

    def close(self) -> None:
        """Free the source; wakes a `read` that waits. Safe to call twice."""
        ...


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """A picture and its time."""

    ticks: int
    """Media time, 48 kHz."""
    rgb: NDArray[np.uint8]
    """[H, W, 3], contiguous, upright, longer side at most STYLE_PICTURE_SIDE_PX."""


class FrameSource(Protocol):
    """Pictures in the order of their times; used from one thread after `open`."""

    is_live: bool

    def open(self) -> None:
        """Raises:
        sender.errors.SourceError: there is no picture to be had.
        """
        ...

    def read_frame(self) -> VideoFrame | None:
        """The next picture; None at the end. A live source waits for it.

        Raises:
            sender.errors.SourceError: the device went away.
        """
        ...

    def skip_frame(self) -> int | None:
        """Pass over the next picture without the work of converting it; its ticks, None at the end."""
        ...

    def close(self) -> None: ...
