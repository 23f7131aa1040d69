"""What strangers may cost the signalling server: connections and bytes per address.

Floods are cut before they are parsed; connections count from TCP's handshake on (`listener`).
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from websockets.asyncio.server import ServerConnection

from protocol.errors import RateLimitedError, ServerBusyError
from protocol.rate_limit import AddressLimiter


@dataclass(frozen=True, slots=True, kw_only=True)
class SignallingLimits:
    """What the server allows; the defaults suit a small public server. An address is an IPv4 address or IPv6 /64."""

    max_connections: int = 1000
    max_connections_per_address: int = 64
    max_rooms: int = 500
    connections_burst: float = 30
    """Connections from one address at once ..."""
    connections_per_s: float = 1.0
    """... and in the long run."""
    bytes_burst: float = 256 * 1024
    """Bytes from one address at once ..."""
    bytes_per_s: float = 16 * 1024
    """... and in the long run; handshakes, pings and garbage count."""
    join_timeout_s: float = 5.0
    """For the TLS handshake, for the websocket handshake, and for the first message."""
    alone_timeout_s: float = 3600.0
    """How long one peer may wait for the other."""
    ping_interval_s: float = 20.0
    ping_timeout_s: float = 10.0
    """A peer that does not answer a ping in this time is gone."""
    probe_timeout_s: float = 2.0
    """A full room pings its members when a third one knocks; who is silent for so long makes room."""


class ConnectionGuard:
    """Counts what is open and what came in, and says no in time."""

    def __init__(self, limits: SignallingLimits, refusals: Counter[str], now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._limits = limits
        self._refusals = refusals
        self._rate = AddressLimiter(limits.connections_burst, limits.connections_per_s)
        self._traffic = AddressLimiter(limits.bytes_burst, limits.bytes_per_s)
        self.open_connections: Counter[str] = Counter()
        """By address, from TCP's handshake on."""

    def may_connect(self, address: str) -> bool:
        """Whether one more websocket from this address is not too often."""
        return self._allow(self._rate.take(address, self._now_s()), RateLimitedError.code)

    def may_receive(self, address: str, num_bytes: int) -> bool:
        """Whether so many bytes more from this address are not too much."""
        return self._allow(self._traffic.take(address, self._now_s(), num_bytes), RateLimitedError.code)

    def opened(self, address: str) -> bool:
        """Count a connection in; False when there are too many."""
        self.open_connections[address] += 1
        has_room = (
            self.open_connections[address] <= self._limits.max_connections_per_address
            and self.open_connections.total() <= self._limits.max_connections
        )
        return self._allow(has_room, ServerBusyError.code)

    def closed(self, address: str) -> None:
        """Count a connection out."""
        self.open_connections[address] -= 1
        if self.open_connections[address] <= 0:
            del self.open_connections[address]

    def _allow(self, allowed: bool, code: str) -> bool:
        if not allowed:
            self._refusals[code] += 1
        return allowed


class GuardedConnection(ServerConnection):
    """A server connection that asks a guard before it parses anything; cut without a word when it says no.

    The websockets library makes connections from a class: each server derives one that names its guard.
    """

    guard: ConnectionGuard

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes came in."""
        if self.transport.is_closing():
            return
        if self.guard.may_receive(address_of(self), len(data)):
            super().data_received(data)
        else:
            self.transport.abort()


def address_of(connection: ServerConnection) -> str:
    """Under what name limits count the far end."""
    peer = connection.remote_address
    return address_name(str(peer[0])) if peer else "unknown"


def address_name(host: str) -> str:
    """The name of an address for limits: IPv4 address, or the /64 that one IPv6 customer has."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))
