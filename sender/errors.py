"""Errors of the sender: each names the thing and what the user can do about it."""

from __future__ import annotations


class SenderError(RuntimeError):
    """Base: what stops a sending side; commands print it and exit with a code other than 0."""


class InvalidStateError(SenderError):
    """A method was called in the wrong order; a bug of the caller."""


class SourceError(SenderError):
    """A file or device does not give what the call needs."""


class UnreadableMediaError(SourceError):
    """The file is empty, damaged, of an unknown format, or cannot be opened. Another file helps."""


class NoAudioError(SourceError):
    """The file holds no sound, and a call is made of sound."""


class NoVideoError(SourceError):
    """Live style needs a picture, and this source has none. `--style reference` or `none` works without."""


class DeviceUnavailableError(SourceError):
    """A microphone or camera is missing, busy or not permitted."""


class PeerVersionError(SenderError):
    """The far end speaks another version or uses other tables; the call cannot start. Updating one side helps."""


class PeerSilentError(SenderError):
    """The far end did not answer the greeting in time. Calling again may help."""
