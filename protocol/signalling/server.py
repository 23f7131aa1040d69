"""The signalling server: brings two peers of a room together and relays what they say (docs/protocol.md 6).

Everything that a stranger can make grow is bounded: connections, rooms, message size, bytes per second, the outgoing
queue of a slow reader, the table of addresses. Whatever arrives, the connection that sent it ends and nothing else.
"""

from __future__ import annotations

import asyncio
import http
import logging
import ssl
import time
from collections import Counter
from collections.abc import Callable

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from protocol.errors import (
    BadRequestError,
    IdleTimeoutError,
    ProtocolError,
    ReplacedError,
    RoomFullError,
    SignallingError,
    UnknownTypeError,
)
from protocol.signalling.guard import ConnectionGuard, GuardedConnection, SignallingLimits, address_of
from protocol.signalling.listener import listen
from protocol.signalling.messages import (
    MAX_REASON_BYTES,
    MAX_SIGNALLING_BYTES,
    Description,
    Exchange,
    Join,
    Joined,
    Leave,
    PeerJoined,
    PeerLeft,
    Refused,
    Stranger,
)
from protocol.signalling.peer import Peer
from protocol.signalling.rooms import Room, RoomTable

logger = logging.getLogger(__name__)
_SWEEP_INTERVAL_S = 0.25


class SignallingServer:
    """`async with SignallingServer("127.0.0.1", 0) as server:` listens on `server.port` until the block ends.

    Raises (on entering):
        OSError: the address cannot be listened on; errno says why (EADDRINUSE: the port is busy).
    """

    def __init__(
        self,
        host: str | None,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        limits: SignallingLimits | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            host: address to listen on; None for all.
            port: 0 takes a free one.
            tls: with it the server speaks wss:// only.
            limits: what strangers may cost it.
            now_s: monotonic time by which it measures who has been alone for how long and who comes too often.
        """
        self._host = host
        self._port = port
        self._tls = tls
        self._now_s = now_s
        self.limits = limits or SignallingLimits()
        self.rooms: RoomTable[Peer] = RoomTable(self.limits.max_rooms)
        self.refusals: Counter[str] = Counter()
        """How often each error code was the end of a connection."""
        self.num_pairs = 0
        """How often two peers met."""
        self.guard = ConnectionGuard(self.limits, self.refusals, now_s)
        self._peers: set[Peer] = set()
        self._servers: list[Server] = []
        self._sweeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> SignallingServer:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def port(self) -> int:
        """The port it listens on; the chosen one when 0 was asked for."""
        if not self._servers:
            raise RuntimeError("the signalling server has not been started")
        return int(next(iter(self._servers[0].sockets)).getsockname()[1])

    @property
    def scheme(self) -> str:
        """ "wss" with a certificate, else "ws"."""
        return "wss" if self._tls is not None else "ws"

    async def start(self) -> None:
        """Listen."""
        server_guard = self.guard

        class Connection(GuardedConnection):
            guard = server_guard

        for listener in listen(self._host, self._port, self.guard):
            server = await serve(
                self._handle,
                sock=listener,
                ssl=self._tls,
                compression=None,  # a few kilobytes of zeros would inflate to the size limit
                process_request=self._check_request,
                create_connection=Connection,
                open_timeout=self.limits.join_timeout_s,
                close_timeout=2,
                ping_interval=self.limits.ping_interval_s,
                ping_timeout=self.limits.ping_timeout_s,
                max_size=MAX_SIGNALLING_BYTES,
                max_queue=4,
            )
            self._servers.append(server)
        self._sweeper = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """Close every connection and the port."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for server in self._servers:
            server.close()
            await server.wait_closed()
        self._servers = []

    def _check_request(self, connection: ServerConnection, _: Request) -> Response | None:
        """Refuse an address that connects too often, in words that a browser or a person can read."""
        if self.guard.may_connect(address_of(connection)):
            return None
        return connection.respond(http.HTTPStatus.TOO_MANY_REQUESTS, "Too many connections from your address.\n")

    async def _handle(self, socket: ServerConnection) -> None:
        """One connection from handshake to end."""
        peer = Peer(socket)
        self._peers.add(peer)
        writer = asyncio.create_task(peer.write())
        try:
            await self._run(peer)
        except SignallingError as error:
            self._refuse(peer, error)
        except ProtocolError as error:
            self._refuse(peer, BadRequestError(str(error)))
        except ConnectionClosed:
            pass
        finally:
            self._peers.discard(peer)
            self._leave(peer, is_final=peer.has_left)
            peer.finish()
            try:
                await asyncio.wait_for(writer, self.limits.probe_timeout_s)
            except TimeoutError:
                socket.transport.abort()

    async def _run(self, peer: Peer) -> None:
        """Join, then relay until the connection ends."""
        try:
            first = await asyncio.wait_for(peer.receive(), self.limits.join_timeout_s)
        except TimeoutError:
            raise IdleTimeoutError(f"no join within {self.limits.join_timeout_s:g} s") from None
        if not isinstance(first, Join):
            raise BadRequestError("the first message is not a join")
        await self._admit(peer, first)
        while True:
            try:
                message = await peer.receive()
            except UnknownTypeError:
                continue
            if isinstance(message, Leave):
                peer.has_left = True
                return
            if not isinstance(message, Description | Exchange):
                raise BadRequestError("only exchanges, descriptions and leave may follow a join")
            self._relay(peer, message)

    async def _admit(self, peer: Peer, join: Join) -> None:
        try:
            room, replaced = self.rooms.join(join, peer)
        except RoomFullError:
            await self._probe(join.room_id)
            room, replaced = self.rooms.join(join, peer)
        peer.room = room
        other = room.other(peer)
        if replaced is not None:
            replaced.room = None
            if other is not None:
                other.send(PeerLeft(is_final=False))
            self._refuse(replaced, ReplacedError("the same peer joined again over a newer connection"))
            replaced.finish()
        peer.send(Joined(generation=room.generation))
        peer.alone_since_s = self._now_s()
        if other is not None:
            self.num_pairs += 1
            for member in (other, peer):
                member.send(PeerJoined(generation=room.generation, is_offerer=member is other))
        else:
            self._tell_strangers(peer, room)

    def _tell_strangers(self, peer: Peer, room: Room[Peer]) -> None:
        """Two ends with different secrets would wait in vain, each alone in a room of the same name: both are told."""
        waiting = [
            other for namesake in self.rooms.namesakes(room) if not namesake.is_complete for other in namesake.peers
        ]
        for member in [*waiting, peer] if waiting else []:
            if not member.knows_of_stranger:  # once, so that nobody's queue can be filled from another room
                member.knows_of_stranger = True
                member.send(Stranger())

    async def _probe(self, room_id: bytes) -> None:
        """Ping the members of a full room and drop those that are dead without knowing it."""
        room = self.rooms.find(room_id)
        members = list(room.peers) if room is not None else []
        alive = await asyncio.gather(*(member.is_alive(self.limits.probe_timeout_s) for member in members))
        for member, answered in zip(members, alive, strict=True):
            if not answered:
                self._leave(member, is_final=False)
                member.drop()

    def _relay(self, peer: Peer, message: Description | Exchange) -> None:
        if peer.room is None or message.generation != peer.room.generation:
            return
        other = peer.room.other(peer)
        if other is not None:
            other.send(message)

    def _leave(self, peer: Peer, *, is_final: bool) -> None:
        if peer.room is None:
            return
        stays, peer.room = self.rooms.leave(peer.room, peer), None
        if stays is not None:
            stays.alone_since_s = self._now_s()
            stays.send(PeerLeft(is_final=is_final))

    def _refuse(self, peer: Peer, error: SignallingError) -> None:
        self.refusals[error.code] += 1
        logger.info("refused %s: %s", address_of(peer.socket), error)
        reason = str(error).encode()[:MAX_REASON_BYTES].decode(errors="ignore")
        peer.send(Refused(code=error.code, reason=reason))

    async def _sweep(self) -> None:
        """End the wait of those who have been alone for too long."""
        while True:
            await asyncio.sleep(_SWEEP_INTERVAL_S)
            for peer in list(self._peers):
                room = peer.room
                if room is None or room.is_complete:
                    continue
                if self._now_s() - peer.alone_since_s > self.limits.alone_timeout_s:
                    self._leave(peer, is_final=False)
                    self._refuse(peer, IdleTimeoutError("nobody joined in time, join again to go on waiting"))
                    peer.finish()
