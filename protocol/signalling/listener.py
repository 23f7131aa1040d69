"""Listening sockets that ask a guard at TCP's own handshake: what hangs in a TLS handshake is counted like the rest.

asyncio tells a protocol of a TLS connection only once its handshake is over, so the count has to begin at `accept` and
end where the socket is closed.
"""

from __future__ import annotations

import socket

from protocol.signalling.guard import ConnectionGuard, address_name

_BACKLOG = 100


class _Accepted(socket.socket):
    """A connection that tells the guard when it is closed."""

    guard: ConnectionGuard
    address: str
    is_counted = False

    def close(self) -> None:
        if self.is_counted:
            self.is_counted = False
            self.guard.closed(self.address)
        super().close()


class GuardedListener(socket.socket):
    """A listening socket; what the guard does not want is closed before a byte of it is read."""

    guard: ConnectionGuard

    def accept(self) -> tuple[socket.socket, tuple[object, ...]]:
        """As `socket.accept`.

        Raises:
            ConnectionAbortedError: too many are open from this address or altogether; asyncio goes on listening.
        """
        plain, address = super().accept()
        connection = _Accepted(fileno=plain.detach())
        connection.guard, connection.address = self.guard, address_name(str(address[0]))
        connection.is_counted = True
        if not self.guard.opened(connection.address):
            connection.close()
            raise ConnectionAbortedError
        return connection, address


def listen(host: str | None, port: int, guard: ConnectionGuard) -> list[GuardedListener]:
    """Listen on all addresses of `host` (None: of this machine).

    Raises:
        OSError: one cannot be listened on; errno says why.
    """
    listeners: list[GuardedListener] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in dict.fromkeys(found):
            listener = GuardedListener(family, socket.SOCK_STREAM)
            listeners.append(listener)
            listener.guard = guard
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                listener.bind(address)
                listener.listen(_BACKLOG)
            except OSError as error:
                problem = f"port {port} on {host or 'every address'}: {(error.strerror or '').lower()}"
                raise OSError(error.errno, problem) from None
            listener.setblocking(False)
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return listeners
