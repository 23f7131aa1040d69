"""One path through the detour: two sockets, each standing in for one peer towards the other."""

from __future__ import annotations

import asyncio
from typing import Any

from talkface.rough_network.impairment import Impairment

IP_UDP_BYTES = 28
MAX_IN_FLIGHT = 5000
"""Datagrams that wait for their time, per route; more are lost."""
HELD_BACK_S = 0.2
"""A datagram to be overtaken leaves after this long when no successor comes."""
Address = tuple[str, int]
SIDES = ("offerer", "answerer")


class _StandIn(asyncio.DatagramProtocol):
    """The detour's socket that one peer takes for the other."""

    transport: asyncio.DatagramTransport

    def __init__(self, side: str, route: Route) -> None:
        self._side, self._route = side, route

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        # The other peer may knock before its description has passed: the answer to it has to find its way back.
        self._route.learn(SIDES[1 - SIDES.index(self._side)], (addr[0], addr[1]))
        self._route.forward(self._side, data)

    @property
    def address(self) -> Address:
        host, port = self.transport.get_extra_info("sockname")[:2]
        return str(host), int(port)


class Route:
    """Two stand-ins and what is known of the peers behind them."""

    def __init__(self, impairments: dict[str, Impairment]) -> None:
        self._impairments = impairments
        self._peers: dict[str, Address] = {}
        self._sockets: dict[str, _StandIn] = {}
        self._in_flight = 0
        self._held: dict[str, tuple[bytes, asyncio.TimerHandle]] = {}

    async def open(self, host: str) -> None:
        """Open both sockets on `host`."""
        for side in SIDES:
            _, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda side=side: _StandIn(side, self),  # type: ignore[misc]
                local_addr=(host, 0),
            )
            self._sockets[side] = protocol

    def stand_in(self, side: str) -> Address:
        """Address to give out in place of that peer's own."""
        return self._sockets[side].address

    def set_peer(self, side: str, address: Address) -> None:
        """Where that peer really is."""
        self._peers[side] = address

    def learn(self, side: str, address: Address) -> None:
        """Where that peer seems to be, until its description says."""
        self._peers.setdefault(side, address)

    def forward(self, side: str, data: bytes) -> None:
        """Datagram for the peer on `side`, sent by the other one."""
        loop = asyncio.get_running_loop()
        impairment = self._impairments[side]
        for due_s in impairment.schedule(loop.time(), len(data) + IP_UDP_BYTES):
            if self._in_flight >= MAX_IN_FLIGHT:
                impairment.lost += 1
            elif due_s <= loop.time():
                self._leave(side, data)
            else:
                self._in_flight += 1
                loop.call_at(due_s, self._land, side, data)

    def _land(self, side: str, data: bytes) -> None:
        self._in_flight -= 1
        self._leave(side, data)

    def _leave(self, side: str, data: bytes) -> None:
        if side not in self._held and self._impairments[side].is_held_back():
            timer = asyncio.get_running_loop().call_later(HELD_BACK_S, self._release, side)
            self._held[side] = (data, timer)
            return
        self._send(side, data)
        self._release(side)

    def _release(self, side: str) -> None:
        if side in self._held:
            data, timer = self._held.pop(side)
            timer.cancel()
            self._send(side, data)

    def _send(self, side: str, data: bytes) -> None:
        other = SIDES[1 - SIDES.index(side)]
        socket = self._sockets[other]
        if side in self._peers and not socket.transport.is_closing():
            socket.transport.sendto(data, self._peers[side])

    def close(self) -> None:
        """Close both sockets."""
        for socket in self._sockets.values():
            socket.transport.close()
