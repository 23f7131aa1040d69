"""The sockets of a connection: counted, gated, patient, bound where we want them, and aware of closed ports."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

from aioice import ice, stun, turn
from aiortc import RTCRtpTransceiver

from talkface.rtc.adapter.names import missing_features
from talkface.rtc.adapter.refusals import ask_for_refusals, take_refusals
from talkface.rtc.adapter.socket_context import CURRENT, SocketContext
from talkface.rtc.adapter.turn_legs import TurnTcp, TurnUdp
from talkface.rtc.stun import (
    CHECK_DELAYS_S,
    CHECK_TIMEOUT_S,
    CONSENT_DELAYS_S,
    CONSENT_TIMEOUT_S,
    PacedTransaction,
    keep_consent,
)
from talkface.rtc.wire.datagram import IPV4_UDP_BYTES, IPV6_UDP_BYTES

logger = logging.getLogger(__name__)

MAX_QUEUED_DATAGRAMS = 1024
"""Datagrams waiting for DTLS or SRTP; more are dropped."""


class _Socket(ice.StunProtocol):
    """aioice's UDP endpoint, counted, gated and patient."""

    def __init__(self, receiver: Any) -> None:
        super().__init__(receiver)
        self._ours = CURRENT.get()
        self._is_direct = True
        self._header_bytes = IPV4_UDP_BYTES

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._is_direct = not isinstance(transport, turn.TurnTransport)  # a relayed one is counted at the inner socket
        if self._is_direct and ":" in transport.get_extra_info("sockname")[0]:
            self._header_bytes = IPV6_UDP_BYTES
        if self._is_direct and self._ours is not None:
            ask_for_refusals(transport)

    def error_received(self, exc: Exception) -> None:
        super().error_received(exc)
        if self._is_direct and self._ours is not None:
            for address in take_refusals(self.transport):
                if self._is_peer(address):
                    self._ours.refused()

    def datagram_received(self, data: Any, addr: Any) -> None:
        ours = self._ours
        if ours is not None:
            if self._is_direct:
                ours.tap.received(data, self._header_bytes)
            is_peer = self._is_peer(addr[:2])
            if not ours.gate.admits(data, is_peer=is_peer) or self.receiver._queue.qsize() >= MAX_QUEUED_DATAGRAMS:
                return
            if is_peer:
                ours.heard()
        try:
            super().datagram_received(data, addr)
        except Exception:  # aioice asserts and looks up attributes of unauthenticated messages
            logger.debug("dropped a datagram that aioice could not handle", exc_info=True)

    def _is_peer(self, address: tuple[str, int]) -> bool:
        """True for the address that the connection has settled on."""
        return any(pair.remote_addr == address for pair in self.receiver._nominated.values())

    async def send_data(self, data: bytes, addr: tuple[str, int]) -> None:
        if self._ours is not None and self._is_direct:
            self._ours.tap.sent(data, self._header_bytes)
        await super().send_data(data, addr)

    def send_stun(self, message: stun.Message, addr: tuple[str, int]) -> None:
        if self._ours is not None and self._is_direct:
            self._ours.tap.sent(bytes(message), self._header_bytes)
        super().send_stun(message, addr)

    async def request(
        self,
        request: stun.Message,
        addr: tuple[str, int],
        integrity_key: bytes | None = None,
        retransmissions: int | None = None,
    ) -> tuple[stun.Message, tuple[str, int]]:
        if self._ours is None:
            return await super().request(request, addr, integrity_key, retransmissions)
        if integrity_key is not None:
            request.add_message_integrity(integrity_key)
        transaction = PacedTransaction(request, addr, self, integrity_key)
        self.transactions[request.transaction_id] = transaction  # type: ignore[assignment]
        is_consent = retransmissions == 0
        try:
            return await transaction.run(
                CONSENT_DELAYS_S if is_consent else CHECK_DELAYS_S,
                CONSENT_TIMEOUT_S if is_consent else CHECK_TIMEOUT_S,
            )
        finally:
            del self.transactions[request.transaction_id]


@cache
def install_sockets() -> None:
    """Put our endpoints where aioice looks for its own; without a `SocketContext` they behave as the originals."""
    missing_features()
    ice.StunProtocol = _Socket  # type: ignore[misc]
    turn.TurnClientUdpProtocol = TurnUdp  # type: ignore[misc]
    turn.TurnClientTcpProtocol = TurnTcp  # type: ignore[misc]


def prepare_sockets(transceiver: RTCRtpTransceiver, context: SocketContext) -> None:
    """Count, gate and pace the sockets that this transceiver's connection is going to open.

    Call before the local description is set. Without `addresses` a machine with no network gathers on 127.0.0.1.
    """
    install_sockets()
    connection = transceiver.receiver.transport.transport._connection
    original = connection.get_component_candidates

    async def get_component_candidates(component: int, addresses: list[str], timeout: int = 5) -> Any:
        chosen = context.addresses
        if chosen is None:
            chosen = addresses or ["127.0.0.1"]
        if connection._transport_policy is ice.TransportPolicy.RELAY:
            chosen = []
        token = CURRENT.set(context)
        try:
            return await original(component=component, addresses=list(chosen), timeout=timeout)
        finally:
            CURRENT.reset(token)

    async def check_consent() -> bool:
        is_answered = False
        for pair in list(connection._nominated.values()):
            key = (connection.remote_password or "").encode()
            request = connection.build_request(pair, nominate=False)
            try:
                await pair.protocol.request(request, pair.remote_addr, integrity_key=key, retransmissions=0)
                is_answered = True
            except stun.TransactionError:
                pass
        return is_answered

    async def query_consent() -> None:
        await keep_consent(check_consent)
        connection._query_consent_task = None  # close() would wait for this very task
        await connection.close()

    connection.get_component_candidates = get_component_candidates  # type: ignore[method-assign]
    connection.query_consent = query_consent  # type: ignore[method-assign]
