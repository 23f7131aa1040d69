"""Errors of the receiving side: what a caller of `receiver` can do something about."""

from __future__ import annotations


class ReceiverError(ValueError):
    """Base of the errors below."""


class PeerIncompatibleError(ReceiverError):
    """The far end speaks another protocol version; the session cannot go on, updating one side helps."""


class SessionCrashedError(ReceiverError):
    """A task of the running session raised what nobody expected: a bug. The session is over; the call cannot go on."""


class SinkUnavailableError(ReceiverError):
    """A sink cannot work on this machine (no display, no sound device, folder not writable); the message says why
    and what to do. Raised when the sink is opened, before the call starts."""


class SinkBrokenError(ReceiverError):
    """A sink gave up in the middle of the call or could not finish (a full disk); the call goes on without it."""


class InvalidStateError(ReceiverError):
    """A method was called in the wrong order; a bug of the caller."""
