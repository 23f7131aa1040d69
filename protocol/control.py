"""The receiving half of a control channel, without the channel: bytes in, messages out, floods and garbage counted.

One reader per link; whoever listens on the link gets what it has read. Time is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.errors import ProtocolError, UnknownTypeError, UnsupportedVersionError
from protocol.messages import Message, decode_message
from protocol.rate_limit import TokenBucket

MAX_MESSAGES_BURST = 256
MAX_MESSAGES_PER_S = 64
"""A call needs a hello, an offer, a few chunks and a bye."""


@dataclass(frozen=True, slots=True)
class OtherVersion:
    """A hello of another protocol version: nothing else that its sender says can be relied on."""

    sentence: str
    """What to tell the user."""


ReceivedMessage = Message | OtherVersion


@dataclass(frozen=True, slots=True)
class ControlCounters:
    """What came over the control channel of one link, or of several added up."""

    received: int = 0
    """Everything within the limit, malformed or not."""
    malformed: int = 0
    ignored: int = 0
    """Of a type that a later version has added."""
    flooded: int = 0
    """Dropped because too many came."""

    def __add__(self, other: ControlCounters) -> ControlCounters:
        return ControlCounters(
            self.received + other.received,
            self.malformed + other.malformed,
            self.ignored + other.ignored,
            self.flooded + other.flooded,
        )


class ControlReader:
    """Reads the messages of one far end, which may send anything."""

    def __init__(self) -> None:
        self._allowance = TokenBucket(MAX_MESSAGES_BURST, MAX_MESSAGES_PER_S)
        self._received = self._malformed = self._ignored = self._flooded = 0

    @property
    def counters(self) -> ControlCounters:
        """What has come so far."""
        return ControlCounters(self._received, self._malformed, self._ignored, self._flooded)

    def read(self, data: bytes, now_s: float) -> ReceivedMessage | None:
        """The message in `data`; None, and counted, for what nobody needs to see."""
        if not self._allowance.take(1, now_s):
            self._flooded += 1
            return None
        self._received += 1
        try:
            return decode_message(data)
        except UnsupportedVersionError as error:
            return OtherVersion(str(error))
        except UnknownTypeError:
            self._ignored += 1
        except ProtocolError:
            self._malformed += 1
        return None
