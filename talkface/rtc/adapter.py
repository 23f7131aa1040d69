"""Every name of aiortc and aioice that is not public and that we use, with what we do to it. No other file may.

What is changed, always on one connection's objects and never for other users of the libraries in this process:

* sockets (aioice `StunProtocol`, `TurnClient*Protocol`): datagrams are counted where they leave and enter, a flood is
  cut off, and STUN transactions are paced so that a round trip of 2 s or a lossy path does not end a call (aioice gives
  a consent check 0.5 s and doubles the wait between connectivity checks up to 32 s);
* gathering: on a machine without a network, or when asked, candidates are on the loopback address (aioice skips it);
* DTLS: the SRTP profiles offered, RTCP thinned on its way out, RTCP read on its way in;
* the RTP router: our receiver instead of aiortc's, whose jitter buffer turns one lost 60 ms packet into 960 ms of
  silence.

`missing_features()` says at start-up which of these the installed versions do not allow; `link` then leaves that
part stock. Checked on aiortc 1.16 and aioice 0.13.
"""

from __future__ import annotations

import contextvars
import enum
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import CodeType
from typing import Any

from aioice import ice, stun, turn
from aiortc import RTCRtpTransceiver, rtcdtlstransport, rtcrtpreceiver, rtcrtpsender, rtcsctptransport
from pylibsrtp import Policy

from talkface.rtc.gate import DatagramGate
from talkface.rtc.stun import (
    CHECK_DELAYS_S,
    CHECK_TIMEOUT_S,
    CONSENT_DELAYS_S,
    CONSENT_TIMEOUT_S,
    PacedTransaction,
    keep_consent,
)
from talkface.rtc.wire_meter import IPV4_TCP_BYTES, IPV4_UDP_BYTES, IPV6_UDP_BYTES, LinkTap

logger = logging.getLogger(__name__)

MAX_QUEUED_DATAGRAMS = 1024
"""Datagrams waiting for DTLS or SRTP; more are dropped."""
CONTROL_RTO_S = 1.5
"""First wait of SCTP before it repeats; aiortc waits 3 s, and on a lossy path a call then starts many seconds late. Its
eight repeats have to last until the far end's DTLS is up, which may be late too."""
MAX_CONTROL_BACKLOG_BYTES = 2 * 1024 * 1024
"""Unfinished control messages that a peer may make us hold; aiortc announces 1 MiB but takes any amount."""


class Feature(enum.Enum):
    """A group of private names that stands or falls together."""

    SOCKETS = "sockets"
    SRTP_PROFILES = "srtp profiles"
    RTCP = "rtcp"
    RTP_ROUTER = "rtp router"
    CONTROL_GUARD = "control guard"


_dtls = rtcdtlstransport.RTCDtlsTransport
_REQUIRED: dict[Feature, tuple[tuple[Any, str], ...]] = {
    # (class or function, name it must have or use)
    Feature.SOCKETS: (
        (ice.Connection, "get_component_candidates"),
        (ice.Connection, "_nominated"),
        (ice.Connection, "_query_consent_task"),
        (ice.Connection, "build_request"),
        (ice.Connection.connect, "query_consent"),
        (ice.Connection, "_queue"),
        (ice.Connection.get_component_candidates, "StunProtocol"),
        (ice.StunProtocol, "send_data"),
        (ice.StunProtocol, "send_stun"),
        (ice.StunProtocol, "request"),
        (ice.StunProtocol, "transactions"),
        (ice.StunProtocol.datagram_received, "response_received"),
        (stun.Message, "check_message_integrity"),
        (turn.create_turn_endpoint, "create_datagram_endpoint"),
        (turn.TurnClientUdpProtocol, "_send"),
        (turn.TurnClientTcpProtocol, "_send"),
    ),
    Feature.SRTP_PROFILES: (
        (_dtls, "_srtp_profiles"),
        (_dtls.start, "_srtp_profiles"),
        (rtcdtlstransport, "SRTPProtectionProfile"),
        (rtcdtlstransport, "SRTP_AES128_CM_SHA1_80"),
    ),
    Feature.RTCP: (
        (_dtls, "_send_rtp"),
        (_dtls._recv_next, "_handle_rtcp_data"),
        (rtcrtpsender.RTCRtpSender, "_ssrc"),
        (rtcrtpsender.RTCRtpSender._send_rtcp, "_send_rtp"),
    ),
    Feature.RTP_ROUTER: (
        (_dtls, "_register_rtp_receiver"),
        (_dtls, "_unregister_rtp_receiver"),
        (_dtls._handle_rtp_data, "_handle_rtp_packet"),
        (rtcrtpreceiver.RTCRtpReceiver, "receive"),
    ),
    Feature.CONTROL_GUARD: (
        (_dtls._recv_next, "_handle_data"),
        (rtcsctptransport.RTCSctpTransport, "_advertised_rwnd"),
        (rtcsctptransport.RTCSctpTransport, "_rto"),
        (rtcsctptransport.RTCSctpTransport, "_send_chunk"),
        (rtcsctptransport, "serialize_packet"),
        (rtcsctptransport, "InitChunk"),
        (_dtls, "_send_data"),
    ),
}


def _names(code: CodeType) -> set[str]:
    """Names that a function uses, those in its inner functions too."""
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*map(_names, inner))


def _has(owner: Any, name: str) -> bool:
    """True when the class or module has it, its constructor sets it, or the function uses it."""
    if hasattr(owner, name):
        return True
    code = getattr(owner, "__code__", None) or getattr(getattr(owner, "__init__", None), "__code__", None)
    return code is not None and name in _names(code)


@cache
def missing_features() -> frozenset[Feature]:
    """Groups that the installed aiortc and aioice do not support; empty with the versions in pyproject.toml."""
    missing = set()
    for feature, names in _REQUIRED.items():
        for owner, name in names:
            if not _has(owner, name):
                label = getattr(owner, "__qualname__", getattr(owner, "__name__", owner))
                logger.warning("%s has no %s: stock %s", label, name, feature.value)
                missing.add(feature)
    return frozenset(missing)


# --- sockets -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class SocketContext:
    """What the sockets of one connection share while they are made."""

    tap: LinkTap
    gate: DatagramGate
    heard: Callable[[], None]
    """Called for every datagram from the peer."""
    addresses: Sequence[str] | None = None
    """Local addresses to gather on; None for all but loopback."""


_context: contextvars.ContextVar[SocketContext | None] = contextvars.ContextVar("talkface_socket", default=None)
"""Set while one of our connections gathers; other users of aioice see None and stock behaviour."""


class _Socket(ice.StunProtocol):
    """aioice's UDP endpoint, counted, gated and patient."""

    def __init__(self, receiver: Any) -> None:
        super().__init__(receiver)
        self._ours = _context.get()
        self._is_direct = True
        self._header_bytes = IPV4_UDP_BYTES

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._is_direct = not isinstance(transport, turn.TurnTransport)  # a relayed one is counted at the inner socket
        if self._is_direct and ":" in transport.get_extra_info("sockname")[0]:
            self._header_bytes = IPV6_UDP_BYTES

    def datagram_received(self, data: Any, addr: Any) -> None:
        ours = self._ours
        if ours is not None:
            if self._is_direct:
                ours.tap.received(data, self._header_bytes)
            is_peer = any(pair.remote_addr == addr[:2] for pair in self.receiver._nominated.values())
            if not ours.gate.admits(data, is_peer=is_peer) or self.receiver._queue.qsize() >= MAX_QUEUED_DATAGRAMS:
                return
            if is_peer:
                ours.heard()
        try:
            super().datagram_received(data, addr)
        except Exception:  # aioice asserts and looks up attributes of unauthenticated messages
            logger.debug("dropped a datagram that aioice could not handle", exc_info=True)

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


def _turn_framing(data: bytes) -> tuple[bytes, int]:
    """What a message to or from a TURN server carries, and its framing: 4 bytes and stream padding for channel data."""
    if len(data) >= 4 and data[0] & 0xC0 == 0x40:
        inner = data[4 : 4 + int.from_bytes(data[2:4], "big")]
        return inner, len(data) - len(inner)
    return data, 0


class _TurnUdp(turn.TurnClientUdpProtocol):
    """aioice's UDP leg to a TURN server, counted."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ours = _context.get()

    def _send(self, data: bytes) -> None:
        if self._ours is not None:
            inner, framing = _turn_framing(data)
            self._ours.tap.sent(inner, IPV4_UDP_BYTES, framing)
        super()._send(data)

    def datagram_received(self, data: Any, addr: Any) -> None:
        if self._ours is not None:
            inner, framing = _turn_framing(data)
            self._ours.tap.received(inner, IPV4_UDP_BYTES, framing)
        super().datagram_received(data, addr)


class _TurnTcp(turn.TurnClientTcpProtocol):
    """aioice's TCP leg to a TURN server, counted per message."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ours = _context.get()

    def _send(self, data: bytes) -> None:
        if self._ours is not None:
            inner, framing = _turn_framing(self._padded(data))
            self._ours.tap.sent(inner, IPV4_TCP_BYTES, framing)
        super()._send(data)

    def datagram_received(self, data: Any, addr: Any) -> None:
        if self._ours is not None:
            inner, framing = _turn_framing(data)
            self._ours.tap.received(inner, IPV4_TCP_BYTES, framing)
        super().datagram_received(data, addr)


@cache
def _install_sockets() -> None:
    """Put our endpoints where aioice looks for its own; without a `SocketContext` they behave as the originals."""
    ice.StunProtocol = _Socket  # type: ignore[misc]
    turn.TurnClientUdpProtocol = _TurnUdp  # type: ignore[misc]
    turn.TurnClientTcpProtocol = _TurnTcp  # type: ignore[misc]


def prepare_sockets(transceiver: RTCRtpTransceiver, context: SocketContext) -> None:
    """Count, gate and pace the sockets that this transceiver's connection is going to open.

    Call before the local description is set. Without `addresses` a machine with no network gathers on 127.0.0.1.
    """
    _install_sockets()
    connection = transceiver.receiver.transport.transport._connection
    original = connection.get_component_candidates

    async def get_component_candidates(component: int, addresses: list[str], timeout: int = 5) -> Any:
        chosen = context.addresses
        if chosen is None:
            chosen = addresses or ["127.0.0.1"]
        if connection._transport_policy is ice.TransportPolicy.RELAY:
            chosen = []
        token = _context.set(context)
        try:
            return await original(component=component, addresses=list(chosen), timeout=timeout)
        finally:
            _context.reset(token)

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


# --- DTLS, SRTP and RTCP ---------------------------------------------------------------------------------------------

_SRTP_TAG_BYTES = {
    b"SRTP_AEAD_AES_256_GCM": 16,
    b"SRTP_AEAD_AES_128_GCM": 16,
    b"SRTP_AES128_CM_SHA1_80": 10,
    b"SRTP_AES128_CM_SHA1_32": 4,
}


def choose_srtp_profiles(transceiver: RTCRtpTransceiver, tag_bits: int) -> None:
    """Offer AES-CM with the 80-bit tag, and before it the 32-bit tag when `tag_bits` is 32 (RFC 5764 4.1.2)."""
    profiles = [rtcdtlstransport.SRTP_AES128_CM_SHA1_80]
    if tag_bits == 32:
        profiles.insert(
            0,
            rtcdtlstransport.SRTPProtectionProfile(
                Policy.SRTP_PROFILE_AES128_CM_SHA1_32, b"SRTP_AES128_CM_SHA1_32", 16, 14
            ),
        )
    transceiver.receiver.transport._srtp_profiles = profiles


def srtp_tag_bytes(transceiver: RTCRtpTransceiver) -> int:
    """Length of the SRTP tag that the finished handshake has chosen."""
    connection = getattr(transceiver.receiver.transport, "_ssl", None)
    name = connection.get_selected_srtp_profile() if connection is not None else b""
    return _SRTP_TAG_BYTES.get(name, 10)


@dataclass(slots=True)
class RtcpHooks:
    """Where RTCP goes out and comes in."""

    admit: Callable[[bytes], bytes | None]
    """Given an RTCP packet on its way out: what to send instead, or None."""
    received: Callable[[bytes], None]
    """Given the decrypted RTCP of every datagram."""
    send: Callable[[bytes], Awaitable[None]] = field(init=False)
    """Send an RTCP packet of ours; set by `hook_rtcp`. Raises ConnectionError when the connection is gone."""
    own_ssrc: int = field(init=False)


def hook_rtcp(transceiver: RTCRtpTransceiver, hooks: RtcpHooks) -> None:
    """Put `hooks` between aiortc and the wire. aiortc's own RTCP handling (NACK answers among it) no longer runs."""
    dtls = transceiver.receiver.transport
    original = dtls._send_rtp

    async def send_rtp(data: bytes) -> None:
        if len(data) >= 2 and 192 <= data[1] <= 223:
            admitted = hooks.admit(data)
            if admitted is None:
                return
            data = admitted
        await original(data)

    async def handle_rtcp_data(data: bytes) -> None:
        hooks.received(data)

    dtls._send_rtp = send_rtp  # type: ignore[method-assign]
    dtls._handle_rtcp_data = handle_rtcp_data  # type: ignore[method-assign]
    hooks.send = original
    hooks.own_ssrc = transceiver.sender._ssrc


# --- receiving RTP ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RawRtp:
    """One decrypted RTP packet."""

    payload_type: int
    sequence_number: int
    timestamp: int
    ssrc: int
    payload: bytes


class _RouterReceiver:
    """aiortc.rtcdtlstransport.RtpReceiver: hands packets of the negotiated payload types over."""

    def __init__(self, deliver: Callable[[RawRtp], None], lost: Callable[[], None]) -> None:
        self._deliver, self._lost = deliver, lost
        self.payload_types: frozenset[int] = frozenset()

    def _handle_disconnect(self) -> None:
        self._lost()

    async def _handle_rtcp_packet(self, packet: Any) -> None:
        """RTCP comes through `hook_rtcp`."""

    async def _handle_rtp_packet(self, packet: Any, arrival_time_ms: int) -> None:
        if packet.payload_type in self.payload_types:
            self._deliver(
                RawRtp(packet.payload_type, packet.sequence_number, packet.timestamp, packet.ssrc, packet.payload)
            )


def replace_receiver(
    transceiver: RTCRtpTransceiver, deliver: Callable[[RawRtp], None], lost: Callable[[], None]
) -> Callable[[], None]:
    """Register our receiver where aiortc would have started its own.

    `receive` is shadowed before the connection starts: aiortc then hands over the negotiated parameters itself, and its
    decoder thread and RTCP task never start. Doing it at "connected" instead loses a race.

    Returns:
        A function that takes the receiver off the router again; call it when the connection closes.
    """
    dtls = transceiver.receiver.transport
    ours = _RouterReceiver(deliver, lost)

    async def receive(parameters: Any) -> None:
        if not ours.payload_types:
            ours.payload_types = frozenset(codec.payloadType for codec in parameters.codecs)
            dtls._register_rtp_receiver(ours, parameters)

    transceiver.receiver.receive = receive  # type: ignore[method-assign]
    return lambda: dtls._unregister_rtp_receiver(ours)


# --- the control channel ---------------------------------------------------------------------------------------------


def guard_control(sctp: Any, dropped: Callable[[], None]) -> None:
    """Survive SCTP bytes that aiortc cannot handle, bound what unfinished messages may hold, and repeat sooner."""
    original = sctp._handle_data
    original_send = sctp._send_chunk
    sctp._rto = CONTROL_RTO_S

    async def send_chunk(chunk: Any) -> None:
        if not isinstance(chunk, rtcsctptransport.InitChunk):
            await original_send(chunk)
            return
        # An INIT carries tag 0 (RFC 9260 section 8.5.1). aiortc gives a repeated one the tag that it has learnt from
        # the far end's INIT meanwhile; it is dropped there, and one lost INIT ACK ends the association.
        packet = rtcsctptransport.serialize_packet(sctp._local_port, sctp._remote_port, 0, chunk)
        await sctp.transport._send_data(packet)

    async def handle_data(data: bytes) -> None:
        if sctp._advertised_rwnd < 1024 * 1024 - MAX_CONTROL_BACKLOG_BYTES:
            dropped()
            return
        try:
            await original(data)
        except ConnectionError:
            raise
        except Exception:  # whatever a peer's bytes trip over in aiortc must not end its receive loop
            logger.debug("dropped control bytes that aiortc could not handle", exc_info=True)
            dropped()

    sctp._handle_data = handle_data
    sctp._send_chunk = send_chunk
