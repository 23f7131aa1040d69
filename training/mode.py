"""What drives a drawn face: of `talkface evaluate` and of the validation within a run."""

from __future__ import annotations

from enum import StrEnum


class Mode(StrEnum):
    """What drives the face besides identity."""

    LIVE = "live"
    """Self-reenactment: the clip's own picture and sound."""
    CAMERA = "camera"
    """As live, with the face found and followed from the first frame on, as a call does. Its crop is not the prepared
    one, so that pixel metrics count how far apart the two lie."""
    BASE = "base"
    """As live, without the lips layer."""
    AUDIO = "audio"
    """Sound alone, d = 0."""
    REFERENCE = "reference"
    """Sound, and the style of another clip (the paper's reference video)."""
    SWAPPED = "swapped"
    """As base, with the sound of another clip: a probe of what the lips follow."""

    @property
    def has_lips(self) -> bool:
        """The lips layer takes part, not the base layer alone."""
        return self in (Mode.LIVE, Mode.CAMERA)

    @property
    def has_own_style(self) -> bool:
        """Style is that of the clip's own prepared picture."""
        return self in (Mode.LIVE, Mode.BASE, Mode.SWAPPED)
