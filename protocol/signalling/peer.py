"""One connection of the signalling server: its room, and an outgoing queue that keeps order and never grows."""

from __future__ import annotations

import asyncio

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from protocol.errors import BadRequestError
from protocol.signalling.messages import SignallingMessage, decode_signalling, encode_signalling
from protocol.signalling.rooms import Room

MAX_QUEUED_MESSAGES = 16


class Peer:
    """A connected client. Sending never waits; a reader that lets sixteen messages pile up is dropped."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket
        self.room: Room[Peer] | None = None
        self.has_left = False
        """It said that it leaves."""
        self.knows_of_stranger = False
        """It was told that somebody waits in a room of the same name."""
        self.alone_since_s = 0.0
        """Server time since when nobody else was in its room."""
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(MAX_QUEUED_MESSAGES)

    async def receive(self) -> SignallingMessage:
        """The next message.

        Raises:
            ProtocolError: it is not one of ours.
            ConnectionClosed: there is none.
        """
        data = await self.socket.recv()
        if isinstance(data, str):
            raise BadRequestError("signalling messages are binary, this one is text")
        return decode_signalling(data)

    def send(self, message: SignallingMessage) -> None:
        """Queue a message."""
        self._put(encode_signalling(message))

    def finish(self) -> None:
        """Close once everything queued is sent."""
        self._put(None)

    def drop(self) -> None:
        """Cut the connection without waiting for a far end that may be gone."""
        self.socket.transport.abort()

    async def write(self) -> None:
        """Send what is queued until `finish`; the server runs this as a task."""
        try:
            while (data := await self._queue.get()) is not None:
                await self.socket.send(data)
            await self.socket.close()
        except ConnectionClosed:
            pass

    async def is_alive(self, timeout_s: float) -> bool:
        """Whether it answers a ping."""
        try:
            await asyncio.wait_for(await self.socket.ping(), timeout_s)
        except (ConnectionClosed, TimeoutError):
            return False
        return True

    def _put(self, item: bytes | None) -> None:
        try:
            self._queue.put_nowait(item)
        except asyncio.QueueFull:
            self.drop()
