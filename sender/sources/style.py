"""Style over the time of a call: none, a recorded track, or live pictures (`live_style.py`). Asked for a tick."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from protocol.rtp_time import RTP_CLOCK_HZ
from talkface_core.style.track import StyleTrack


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

    def stats(self) -> dict[str, Any]: ...

    def stop(self) -> None: ...


class NoStyle:
    """Sound and identity alone move the face."""

    name = "none"

    def start(self) -> None:
        """Nothing to begin."""

    def values_at(self, ticks: int) -> NDArray[np.float32] | None:
        """None, always."""
        return None

    def stats(self) -> dict[str, Any]:
        """Nothing to tell."""
        return {}

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

    def stats(self) -> dict[str, Any]:
        """Length of the track."""
        return {"track_s": round(self._track.duration_s, 3)}

    def stop(self) -> None:
        """Nothing to end."""
