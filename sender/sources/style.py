"""Style over the time of a call: none, a recorded track, or live pictures (`live_style.py`). Asked for a tick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from protocol.rtp_time import RTP_CLOCK_HZ
from talkface_core.style.track import StyleTrack


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureStats:
    """What became of the pictures that style is taken from."""

    frames_encoded: int = 0
    frames_skipped: int = 0
    """Passed over: the encoder was slower than the pictures, or the camera faster than the model."""
    frames_without_face: int = 0
    failure: str | None = None
    """Why the face moves by the sound alone."""


class StyleSource(Protocol):
    """Where head pose, blinks and expression come from."""

    name: str
    """For the report: "live", "reference" or "none"."""

    def start(self) -> None:
        """Begin.

        Raises:
            sender.errors.SourceError: there is nothing to take style from.
        """
        ...

    def values_at(self, ticks: int) -> NDArray[np.float32] | None:
        """[16] style values at a media time, or None when there are none. Does not wait; times only grow."""
        ...

    def stats(self) -> PictureStats | None:
        """Counts of the pictures; None where style comes from none."""
        ...

    def stop(self) -> None: ...


class NoStyle:
    """Sound and identity alone move the face."""

    name = "none"

    def start(self) -> None:
        """Nothing to begin."""

    def values_at(self, ticks: int) -> NDArray[np.float32] | None:
        """None, always."""
        return None

    def stats(self) -> PictureStats | None:
        """None: there are no pictures."""
        return None

    def stop(self) -> None:
        """Nothing to end."""


class ReferenceStyle:
    """A track taken once from an old video of the speaker, played back and forth for as long as the call lasts."""

    name = "reference"

    def __init__(self, track: StyleTrack) -> None:
        self._track = track

    def start(self) -> None:
        """Nothing to begin."""

    def values_at(self, ticks: int) -> NDArray[np.float32] | None:
        """[16] of the track; it turns round at its ends, so that nothing jumps."""
        return self._track.at(ticks / RTP_CLOCK_HZ, loop=True)

    def stats(self) -> PictureStats | None:
        """None: the pictures were seen when the track was recorded."""
        return None

    def stop(self) -> None:
        """Nothing to end."""
