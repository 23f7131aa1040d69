"""The control channel of a link: messages over one reliable, ordered data channel (RFC 8831).

It is the one owner of what is said on a link: it greets when it opens, takes messages to send, decodes what comes once
for all who listen, and says bye.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from aiortc import RTCDataChannel, RTCPeerConnection

from protocol.control import ControlCounters, ControlReader, OtherVersion, ReceivedMessage
from protocol.interfaces import Clock
from protocol.messages import (
    MAX_MESSAGE_BYTES,
    Bye,
    Hello,
    IdentityData,
    IdentityOffer,
    IdentityRequest,
    Message,
    encode_message,
)
from talkface.rtc.adapter.control_guard import guard_control
from talkface.rtc.errors import LinkError
from talkface.rtc.listeners import Listeners
from talkface.rtc.wire.meter import ControlPhase, LinkTap

logger = logging.getLogger(__name__)

MAX_IN_FLIGHT_BYTES = 1024 * 1024
CHANNEL_ID = 0
"""Agreed beforehand (RFC 8832 is not needed), so that no message opens the channel."""
MAX_EXTRA_CHANNELS = 4
MAX_EARLY_MESSAGES = 8
"""Messages kept for sessions that are not there yet."""
BYE_TIMEOUT_S = 1.0


class ControlChannel:
    """Sends and delivers messages.

    Args:
        hello: said when the channel opens; None says nothing.
        tap: told what the channel is busy with, so that its bytes are booked there.
        lost: called with the reason when the link cannot go on because of this channel.
    """

    def __init__(self, hello: Hello | None, tap: LinkTap, clock: Clock, lost: Callable[[str], None]) -> None:
        self._hello, self._tap, self._clock, self._lost = hello, tap, clock, lost
        self._reader = ControlReader()
        self._channel: RTCDataChannel | None = None
        self._open = asyncio.Event()
        self._room = asyncio.Event()
        self._listeners: Listeners[ReceivedMessage] = Listeners()
        self._early: list[ReceivedMessage] = []
        self._extra_channels = 0
        self._has_ended = False
        self.dropped = 0
        """Messages and channels refused."""

    def create(self, connection: RTCPeerConnection, *, is_guarded: bool) -> None:
        """Add the channel to a connection whose far end offers data channels, before it starts."""
        channel = connection.createDataChannel("talkface", ordered=True, negotiated=True, id=CHANNEL_ID)
        channel.bufferedAmountLowThreshold = MAX_IN_FLIGHT_BYTES // 2
        channel.on("open", self._opened)
        channel.on("message", self._received)
        channel.on("bufferedamountlow", self._room.set)
        channel.on("close", self._closed)
        if is_guarded:
            guard_control(connection.sctp, self._drop)
        self._channel = channel

    @property
    def is_open(self) -> bool:
        """True while messages can flow."""
        return not self._has_ended and self._channel is not None and self._channel.readyState == "open"

    async def wait_open(self) -> None:
        """Return once messages can be sent.

        Raises:
            LinkError: the link has ended, or the far end (a plain browser) offers no control channel.
        """
        if self._channel is None:
            raise LinkError("the far end offers no control channel: it is not Talkface")
        await self._open.wait()
        self._require_open()

    async def send(self, message: Message) -> None:
        """Send one message; waits while more than 1 MiB is in flight.

        Raises:
            LinkError: as `wait_open`.
        """
        await self.wait_open()
        assert self._channel is not None
        data = encode_message(message)
        while self._channel.bufferedAmount + len(data) > MAX_IN_FLIGHT_BYTES:
            self._room.clear()
            await self._room.wait()
            self._require_open()
        self._tap.control_phase = control_phase(message)
        self._channel.send(data)

    async def say_bye(self, reason: str) -> None:
        """Tell the far end that we hang up; silently given up when it is gone."""
        if not self.is_open:
            return
        try:
            async with asyncio.timeout(BYE_TIMEOUT_S):
                await self.send(Bye(reason=reason))
        except (TimeoutError, LinkError) as error:
            logger.debug("no bye: %s", error)

    @property
    def counters(self) -> ControlCounters:
        """What came so far."""
        return self._reader.counters

    def on_message(self, callback: Callable[[ReceivedMessage], None]) -> None:
        """Deliver every message.

        The first ones are repeated for whoever comes later: a side greets before the other has set up its sessions.
        """
        self._listeners.add(callback)
        for message in list(self._early):
            callback(message)

    def end(self) -> None:
        """The link has ended: whoever waits gets a LinkError."""
        self._has_ended = True
        self._open.set()
        self._room.set()

    def extra_channel(self, channel: RTCDataChannel) -> None:
        """A peer opened a channel that nobody asked for: ignored, and after a few the link ends."""
        self._extra_channels += 1
        self._drop()
        if self._extra_channels > MAX_EXTRA_CHANNELS:
            self._lost("the far end opens channel after channel")

    def _require_open(self) -> None:
        if not self.is_open:
            raise LinkError("the connection to the far end has ended")

    def _opened(self) -> None:
        assert self._channel is not None
        if self._hello is not None:  # before anybody who waits can say something else
            self._channel.send(encode_message(self._hello))
        self._open.set()

    def _closed(self) -> None:
        """A call without control cannot go on: SCTP has given up, or the far end has closed the channel."""
        self.end()
        self._lost("the control channel has ended")

    def _received(self, data: bytes | str) -> None:
        if not isinstance(data, bytes) or len(data) > MAX_MESSAGE_BYTES:
            self._drop()
            return
        message = self._reader.read(data, self._clock.now_us() / 1e6)
        self._tap.control_phase = control_phase(message)
        if message is None:
            return
        if len(self._early) < MAX_EARLY_MESSAGES:
            self._early.append(message)
        self._listeners.tell(message)

    def _drop(self) -> None:
        self.dropped += 1


def control_phase(message: ReceivedMessage | None) -> ControlPhase:
    """What a message (None: garbage) says the channel is busy with: DTLS bytes after it are booked there."""
    if isinstance(message, Hello | OtherVersion):
        return ControlPhase.SETUP
    if isinstance(message, IdentityOffer | IdentityRequest | IdentityData):
        return ControlPhase.IDENTITY
    return ControlPhase.CALL
