"""Types through which the parts of a call meet; no behaviour lives here.

Sender and receiver do not know each other and do not know aiortc: both are handed a `MediaLink`, which
`talkface/rtc/link.py` implements over WebRTC and tests implement in memory. Time is injected as a `Clock`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from protocol.audio_payload import AudioPayload, MalformedPayload
from protocol.control import ControlCounters, ReceivedMessage
from protocol.messages import Message


class Clock(Protocol):
    """A monotonic clock; `FakeClock` in tests."""

    def now_us(self) -> int:
        """Microseconds since an arbitrary start; never goes backwards."""
        ...


@dataclass(frozen=True, slots=True)
class ReceivedPacket:
    """One decrypted RTP packet of the remote audio stream."""

    sequence_number: int
    """16-bit RTP sequence number, not unwrapped."""
    rtp_timestamp: int
    """32-bit RTP timestamp in 48 kHz ticks, not unwrapped."""
    content: AudioPayload | MalformedPayload
    """The Opus packet with what its padding holds (RFC 7587), taken apart where it left decryption."""
    ssrc: int
    arrival_time_us: int
    """Receiver's monotonic clock when the datagram left the socket."""


@dataclass(frozen=True, slots=True)
class ReceptionReport:
    """What the far end says about our audio (RTCP receiver report, RFC 3550 section 6.4.2)."""

    fraction_lost: float
    """Share of packets lost since the last report, 0..1."""
    jitter_ms: float
    round_trip_ms: float | None
    """None while no sender report has been echoed."""


@dataclass(frozen=True, slots=True)
class PacketCost:
    """How the payload of one outgoing RTP packet divides, so that the wire meter can name the bytes."""

    opus_bytes: int
    """Opus frame bytes with TOC, as they would be sent without our padding."""
    style_bytes: int
    """Style block and the padding syntax it needs."""
    redundancy_bytes: int
    """Previous packet carried again, with its framing."""
    is_talking: bool
    """False for comfort-noise packets and style that rides in silence."""
    duration_ticks: int
    """Of its sound, so that talking bytes can be divided by talking time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkBinding:
    """What makes one connection unlike every other, as its ends have agreed over signalling."""

    offerer_sha256: bytes
    """Of the DTLS certificate of the end that made the offer: 32 bytes."""
    answerer_sha256: bytes
    is_offerer: bool
    """Which of the two we are."""


class MediaLink(Protocol):
    """A connected, encrypted audio path to one peer with a reliable control channel beside it.

    The link itself greets (hello is its first message) and says bye; sessions send what lies between, and listen.
    Callbacks run in the event loop and must not block. What they are given is hostile.
    """

    def send_audio(self, payload: bytes, timestamp_ticks: int, cost: PacketCost) -> None:
        """Queue one Opus packet; `timestamp_ticks` (48 kHz) counts from 0, may skip, and only grows."""
        ...

    async def wait_control(self) -> None:
        """Return once control messages flow.

        Raises:
            ConnectionError: the link has ended, or the far end (a plain browser) has no control channel.
        """
        ...

    async def send_control(self, message: Message) -> None:
        """Send one message reliably and in order; waits while more than 1 MiB is in flight.

        Raises:
            ConnectionError: as `wait_control`.
        """
        ...

    @property
    def control_counters(self) -> ControlCounters:
        """What came over the control channel so far."""
        ...

    @property
    def binding(self) -> LinkBinding | None:
        """What proofs of identity are bound to; None where the ends' certificates are not known."""
        ...

    def on_audio(self, callback: Callable[[ReceivedPacket], None]) -> None:
        """Deliver every audio RTP packet, duplicates and misordered ones included."""
        ...

    def on_control(self, callback: Callable[[ReceivedMessage], None]) -> None:
        """Deliver every control message; the first ones also to whoever comes later."""
        ...

    def on_report(self, callback: Callable[[ReceptionReport], None]) -> None:
        """Deliver the far end's view of our stream, about every 5 s."""
        ...


class EndCause(enum.Enum):
    """Why a session ended without an error."""

    FINISHED = "finished"
    """Everything there was has been sent."""
    PEER_LEFT = "peer left"
    """The far end said bye; what it had sent has been played."""
    STOPPED = "stopped"
    """`stop` was called."""


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """How a session ended."""

    cause: EndCause
    reason: str = ""
    """The far end's own words with `PEER_LEFT`; hostile, at most what a bye may hold."""


class CallSession(Protocol):
    """The life that sending and receiving sessions share, so that a call ends both in one way."""

    async def start(self) -> None:
        """Open everything; on an error everything is closed again. Once only."""
        ...

    async def wait_ended(self) -> SessionEnd:
        """Until the session is over. Raises the session's own error when it failed, whoever asks and however often."""
        ...

    async def stop(self) -> None:
        """End the threads, finish the files. Safe to call twice, from any state and after a failed start."""
        ...

    async def replace_link(self, link: MediaLink) -> None:
        """Go on over a new connection to the same peer, with clocks, face and counters as they were."""
        ...
