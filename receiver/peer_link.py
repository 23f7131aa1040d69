"""The far end as the receiver hears it: the link in use, what is to be said on it, what was counted on all links."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from protocol.control import ControlCounters, ReceivedMessage
from protocol.interfaces import LinkBinding, MediaLink, ReceivedPacket
from protocol.messages import Message

logger = logging.getLogger(__name__)

MAX_QUEUED_MESSAGES = 64


class PeerLink:
    """One peer, over one link after another; what a replaced link still delivers is ignored."""

    def __init__(
        self,
        link: MediaLink,
        *,
        on_audio: Callable[[ReceivedPacket], None],
        on_control: Callable[[ReceivedMessage], None],
    ) -> None:
        """Nothing is heard before `listen`."""
        self._link = link
        self._on_audio = on_audio
        self._on_control = on_control
        self._counted_before = ControlCounters()
        """On links that were replaced."""
        self._outbox: asyncio.Queue[Message] = asyncio.Queue(MAX_QUEUED_MESSAGES)
        self._is_closed = False

    @property
    def control_counters(self) -> ControlCounters:
        """What came over the control channels of all links."""
        return self._counted_before + self._link.control_counters

    @property
    def binding(self) -> LinkBinding | None:
        """Of the link in use."""
        return self._link.binding

    def listen(self) -> None:
        """Hand on what comes over the link in use."""
        link = self._link

        def on_audio(packet: ReceivedPacket) -> None:
            if link is self._link and not self._is_closed:
                self._on_audio(packet)

        def on_control(message: ReceivedMessage) -> None:
            if link is self._link and not self._is_closed:
                self._on_control(message)

        link.on_audio(on_audio)
        link.on_control(on_control)

    def replace(self, link: MediaLink) -> None:
        """Put another link in place of the one in use; `listen` follows."""
        self._counted_before += self._link.control_counters
        self._link = link

    def post(self, message: Message) -> None:
        """Queue a message; refuse_newest. A peer that reads nothing must not cost memory."""
        try:
            self._outbox.put_nowait(message)
        except asyncio.QueueFull:
            logger.debug("control message dropped: %d wait already", MAX_QUEUED_MESSAGES)

    async def send_messages(self) -> None:
        """Send what is queued, one after the other, until cancelled."""
        while True:
            message = await self._outbox.get()
            try:
                await self._link.send_control(message)
            except ConnectionError as error:  # no control channel (a browser), or the link is being replaced
                logger.debug("control message not sent: %s", error)

    def close(self) -> None:
        """Nothing is handed on any more."""
        self._is_closed = True
