"""Errors of the wire format: whatever hostile bytes do, a caller sees a `ProtocolError` and nothing else.

Messages read `<packet> <field> <problem>`. A receiver catches `ProtocolError` in one place, counts it and drops the
bytes; misuse by our own code raises plain `ValueError`.
"""

from __future__ import annotations


class ProtocolError(ValueError):
    """Base: bytes from a peer or a file are not what they claim to be. Dropped and counted; retrying cannot help."""


class TruncatedPacketError(ProtocolError):
    """Raised by every parser when the bytes end before a field does."""


class MalformedPacketError(ProtocolError):
    """Raised by every parser when fields contradict each other or a value is outside its range."""


class UnknownTypeError(ProtocolError):
    """Raised for a message type of a later version; the receiver skips it and counts it."""


class BadMagicError(ProtocolError):
    """Raised when a file or message is of another kind altogether."""


class UnsupportedVersionError(ProtocolError):
    """Raised when the far end or a file speaks a version that this code does not; updating one side helps."""


class PayloadTooLargeError(ProtocolError):
    """Raised when a size is over its limit, before memory is spent on it."""


class BadSignatureError(ProtocolError):
    """Raised when an identity was changed after its owner signed it; ask its owner for a fresh copy."""


class SignallingError(ProtocolError):
    """Base of what the signalling server refuses; `code` is the word on the wire."""

    code = "refused"


class WrongSecretError(SignallingError):
    """The other end does not show that it knows the secret (raised by the client, never on the wire)."""

    code = "wrong-secret"


class RoomFullError(SignallingError):
    """Two peers are in the room already; retry when one has left."""

    code = "room-full"


class SignallingVersionError(SignallingError):
    """Server and client speak different signalling versions; update the older one."""

    code = "unknown-version"


class RateLimitedError(SignallingError):
    """Too many messages or connections from this address; retry after a pause."""

    code = "rate-limited"


class ServerBusyError(SignallingError):
    """The server holds as many rooms or connections as it may; retry later."""

    code = "server-busy"


class BadRequestError(SignallingError):
    """The server could not read what was sent to it; a bug or another program."""

    code = "bad-request"


class ReplacedError(SignallingError):
    """The same peer joined again over a newer connection; the older one ends. Not to be retried."""

    code = "replaced"


class IdleTimeoutError(SignallingError):
    """Nothing was heard from this peer for too long; join again."""

    code = "idle"


class SignallingUnreachableError(SignallingError):
    """No signalling server answered at that address (raised by the client, never on the wire); retry later."""

    code = "unreachable"


SIGNALLING_ERRORS: dict[str, type[SignallingError]] = {
    kind.code: kind
    for kind in (
        RoomFullError,
        SignallingVersionError,
        RateLimitedError,
        ServerBusyError,
        BadRequestError,
        ReplacedError,
        IdleTimeoutError,
    )
}
"""Codes that a server may send, with the error that a client raises for each."""
