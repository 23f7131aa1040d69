"""The signalling client: joins a room, exchanges descriptions with the other peer, and comes back after a loss.

client = SignallingClient("wss://host:8765", room="kitchen", secret=secret)
await client.connect()
async for event in client.events():
    PeerJoined   -> a key was exchanged: build a new connection; make the offer if event.is_offerer
    Description  -> verified; answer an offer, apply an answer
    PeerLeft     -> is_final: hang up; else wait, media may still flow
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import AsyncIterator, Callable

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException

from protocol.errors import (
    SIGNALLING_ERRORS,
    BadRequestError,
    ProtocolError,
    RateLimitedError,
    ServerBusyError,
    SignallingError,
    SignallingUnreachableError,
    UnknownTypeError,
    WrongSecretError,
)
from protocol.signalling.keys import KeyExchange, MeetingKey, RoomKeys
from protocol.signalling.messages import (
    MAX_SIGNALLING_BYTES,
    TOKEN_BYTES,
    Description,
    DescriptionKind,
    Exchange,
    Join,
    Joined,
    Leave,
    PeerJoined,
    PeerLeft,
    Refused,
    SignallingMessage,
    Stranger,
    decode_signalling,
    encode_signalling,
)

Event = PeerJoined | PeerLeft | Description

_RETRY_DELAYS_S = (0.1, 0.2, 0.5)
"""Pauses between attempts; the last one repeats. Short, because a call waits for it."""
MAX_UNCONFIRMED = 16
"""Meetings without a description from the other end; in each, whoever arranges them has one guess at the secret."""
_MIN_RETRY_TIMEOUT_S = 2.0
"""A fresh attempt asks the network again sooner than TCP would repeat its own first packet."""


class SignallingClient:
    """One place in one room. One task reads events; any task may send, `rejoin` or close."""

    def __init__(
        self,
        url: str,
        *,
        room: str,
        secret: str,
        peer_token: bytes | None = None,
        tls: ssl.SSLContext | None = None,
        timeout_s: float = 5.0,
        on_stranger: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Args:
            url: ws://host:port or wss://host:port.
            room: name that both peers use, 1..64 bytes.
            secret: text that both peers know, 1..256 bytes.
            peer_token: 16 random bytes; a program that starts again with the same token takes its old place.
            tls: context for wss; the system's certificates when None.
            timeout_s: for connecting, and for the server's answer; shorter once connecting has been quick.
            on_stranger: called when somebody waits in a room of this name with another secret.

        Raises:
            ValueError: the address is not a websocket address, or the token is not 16 bytes.
        """
        if not url.startswith(("ws://", "wss://")):
            raise ValueError(f"signalling address {url!r} is not of the form ws://host:port or wss://host:port")
        if peer_token is not None and len(peer_token) != TOKEN_BYTES:
            raise ValueError(f"peer token of {len(peer_token)} bytes is not {TOKEN_BYTES}")
        self.url = url
        self.room = room
        self.peer_token = peer_token or secrets.token_bytes(TOKEN_BYTES)
        self._secret = secret
        self._tls = (tls or ssl.create_default_context()) if url.startswith("wss://") else None
        self._timeout_s = timeout_s
        self._keys: RoomKeys | None = None
        self._on_stranger = on_stranger
        self._exchanging: tuple[PeerJoined, KeyExchange] | None = None
        """A meeting that was announced, and its key, which is still being exchanged."""
        self._key: MeetingKey | None = None
        self._unconfirmed = 0
        """Meetings since the other end has last shown that it has our key."""
        self._socket: ClientConnection | None = None
        self._is_closed = False
        self._connecting = asyncio.Lock()
        self._connect_took_s = timeout_s

    async def __aenter__(self) -> SignallingClient:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def connect(self) -> None:
        """Join the room. Called again, it drops the connection there was and takes the same place anew.

        Raises:
            SignallingUnreachableError: no answer from the server; trying again may help.
            SignallingError: the server refused; the class says why.
            ValueError: room or secret is empty or too long, or the address cannot be parsed.
        """
        self._is_closed = False
        self.rejoin()
        await self._connect()

    def rejoin(self) -> None:
        """Drop the connection at once: `events` joins again. For a call that sees that its network has changed."""
        if self._socket is not None:
            self._socket.transport.abort()
            self._socket = None

    async def send_description(self, generation: int, kind: DescriptionKind, sdp: str) -> None:
        """Send a session description to the other peer; `generation` is that of the last `PeerJoined`.

        The server drops it when the room has moved on since.

        Raises:
            SignallingUnreachableError: the connection is lost; `events` brings it back.
            ValueError: the description is over 16 KiB.
        """
        if self._key is None:
            raise self._unreachable("the far end is not there")
        await self._send(self._key.describe(generation, kind, sdp))

    async def next_event(self) -> Event:
        """The next event; a meeting is told of once its key is exchanged, descriptions are verified.

        Raises:
            SignallingUnreachableError: the connection is lost; `connect` again.
            WrongSecretError: the other end has not shown for many meetings that it knows the secret.
            SignallingError: the server ended it; the class says why.
            BadSignatureError: a description was changed on its way, or written by somebody with another secret.
        """
        while True:
            if self._socket is None or self._keys is None:
                raise self._unreachable("not connected")
            try:
                message = await self._receive(self._socket)
            except UnknownTypeError:
                continue
            except SignallingError:
                self.rejoin()
                raise
            event = await self._event_of(message, self._keys)
            if event is not None:
                return event

    async def events(self) -> AsyncIterator[Event]:
        """Events until `close`; a lost connection is joined again for as long as it takes.

        After a return the server says `PeerJoined` with a new generation if the other peer is there.

        Raises:
            SignallingError: the server refused in a way that trying again cannot change.
            BadSignatureError: a description was changed on its way.
        """
        while not self._is_closed:
            try:
                yield await self.next_event()
            except SignallingUnreachableError:
                await self._reconnect()

    async def close(self) -> None:
        """Leave for good; the other peer sees `PeerLeft(is_final=True)`."""
        self._is_closed = True
        socket, self._socket = self._socket, None
        if socket is None:
            return
        try:
            await socket.send(encode_signalling(Leave()))
            await socket.close()
        except ConnectionClosed:
            pass

    async def _event_of(self, message: SignallingMessage, keys: RoomKeys) -> Event | None:
        """What a message is to the caller; None when it is of the key exchange or void."""
        if isinstance(message, PeerJoined):
            if self._unconfirmed >= MAX_UNCONFIRMED:
                raise WrongSecretError(f"{self._unconfirmed} meetings in a row with somebody who knows no secret")
            self._key = self._exchanging = None
            # In a thread, as the other half: the event loop may be playing a call.
            exchange = await asyncio.to_thread(KeyExchange, keys, message.generation, is_offerer=message.is_offerer)
            self._exchanging = message, exchange
            await self._send(exchange.message)
            return None
        if isinstance(message, Exchange):
            if self._exchanging is None or message.generation != self._exchanging[0].generation:
                return None
            (meeting, exchange), self._exchanging = self._exchanging, None
            self._key = await asyncio.to_thread(exchange.finish, message)
            self._unconfirmed += 1
            return meeting
        if isinstance(message, Description):
            if self._key is None:
                return None
            self._key.verify(message)
            self._unconfirmed = 0
            return message
        if isinstance(message, Stranger):
            self._on_stranger()
        return message if isinstance(message, PeerLeft) else None

    async def _send(self, message: SignallingMessage) -> None:
        if self._socket is None:
            raise self._unreachable("not connected")
        try:
            await self._socket.send(encode_signalling(message))
        except ConnectionClosed:
            raise self._unreachable("the connection was lost") from None

    async def _reconnect(self) -> None:
        attempt = 0
        while not self._is_closed:
            try:
                await self._connect()
            except (SignallingUnreachableError, RateLimitedError, ServerBusyError):
                await asyncio.sleep(_RETRY_DELAYS_S[min(attempt, len(_RETRY_DELAYS_S) - 1)])
                attempt += 1
            else:
                return

    async def _connect(self) -> None:
        # Once it has worked, its own experience says how long the next attempt may take.
        timeout_s = min(self._timeout_s, max(_MIN_RETRY_TIMEOUT_S, 3 * self._connect_took_s))
        async with self._connecting:
            if self._socket is not None:  # another task was faster
                return
            if self._keys is None:
                # In a thread: the event loop may be playing a call.
                self._keys = await asyncio.to_thread(RoomKeys.derive, self.room, self._secret)
            started_s = asyncio.get_running_loop().time()
            socket = await self._open(timeout_s)
            try:
                join = Join(room_id=self._keys.room_id, peer_token=self.peer_token)
                await socket.send(encode_signalling(join))
                answer = await asyncio.wait_for(self._receive(socket), timeout_s)
                if not isinstance(answer, Joined):
                    raise BadRequestError("the server did not answer the join: is this a talkface signalling server?")
            except (TimeoutError, ConnectionClosed):
                socket.transport.abort()
                raise self._unreachable(f"no answer to the join within {timeout_s:g} s") from None
            except BaseException:
                socket.transport.abort()
                raise
            if self._is_closed:  # meanwhile
                socket.transport.abort()
                return
            self._connect_took_s = asyncio.get_running_loop().time() - started_s
            self._socket = socket

    async def _open(self, timeout_s: float) -> ClientConnection:
        try:
            return await connect(
                self.url,
                ssl=self._tls,
                proxy=None,  # no third party that was not asked for
                compression=None,
                open_timeout=timeout_s,
                close_timeout=1,
                max_size=MAX_SIGNALLING_BYTES,
                max_queue=4,
            )
        except InvalidURI:
            raise ValueError(f"signalling address {self.url!r} cannot be parsed: use ws://host:port") from None
        except InvalidStatus as error:
            if error.response.status_code == 429:
                raise RateLimitedError(f"{self.url}: too many connections from this address, wait a little") from None
            raise self._unreachable(f"the server answered with HTTP status {error.response.status_code}") from None
        except ssl.SSLCertVerificationError as error:
            raise self._unreachable(f"its certificate is not trusted ({error.verify_message})") from None
        except TimeoutError:
            raise self._unreachable(f"no answer within {timeout_s:g} s") from None
        except (OSError, WebSocketException) as error:
            raise self._unreachable(str(error) or type(error).__name__) from None

    async def _receive(self, socket: ClientConnection) -> SignallingMessage:
        """One message; refusals and lost connections become errors."""
        try:
            data = await socket.recv()
        except ConnectionClosed:
            raise self._unreachable("the connection was lost") from None
        if isinstance(data, str):
            raise BadRequestError("the server sent text: is this a talkface signalling server?")
        try:
            message = decode_signalling(data)
        except (SignallingError, UnknownTypeError):
            raise
        except ProtocolError as error:
            raise BadRequestError(f"the server sent something unreadable: {error}") from None
        if isinstance(message, Refused):
            raise SIGNALLING_ERRORS.get(message.code, SignallingError)(message.reason)
        return message

    def _unreachable(self, reason: str) -> SignallingUnreachableError:
        return SignallingUnreachableError(f"signalling server {self.url}: {reason}")
