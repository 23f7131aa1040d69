"""Counts what a call really costs: every datagram at the UDP socket, both directions, by component.

The link hands over each datagram as it leaves or enters the socket (`LinkTap`), the encrypted ones too; what the
encrypted payload of an RTP packet holds comes from `PacketCost` when sending and from the parsed payload when
receiving. Set-up (until the control channel is open and hellos are exchanged) and the identity's transfer are kept
apart. A datagram counts as *talking* when the last RTP packet in its direction was, so that RTCP and STUN are paid for
too; talking time is the sound in talking packets.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from protocol.audio_payload import AudioPayload, MalformedPayload
from protocol.interfaces import Clock, PacketCost
from protocol.rtp_time import RTP_CLOCK_HZ
from talkface.rtc.wire.datagram import DatagramKind, datagram_kind, rtp_header_bytes
from talkface.rtc.wire.totals import ComponentTotals, DirectionTotals, WireTotals

COMPONENTS = ("opus", "style", "redundancy", "rtp_header", "srtp_tag", "ip_udp", "rtcp", "stun", "dtls_sctp")
MAX_UNDELIVERED = 256
DELIVERY_US = 1_000_000
SRTP_DEFAULT_TAG_BYTES = 10


class ControlPhase(enum.Enum):
    """What the control channel is busy with: decides where DTLS bytes are booked."""

    SETUP = "setup"
    IDENTITY = "identity"
    CALL = "call"


@dataclass(slots=True)
class _Direction:
    total: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COMPONENTS, 0))
    talking: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COMPONENTS, 0))
    datagrams: int = 0
    talk_ticks: int = 0
    is_talking: bool = False
    setup_bytes: int = 0
    identity_bytes: int = 0

    def book(self, sizes: dict[str, int]) -> None:
        self.datagrams += 1
        for name, size in sizes.items():
            self.total[name] += size
            if self.is_talking:
                self.talking[name] += size


class WireMeter:
    """Sums of one call; outlives a reconnect. Each connection counts through its own `open_link()`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.up, self.down = _Direction(), _Direction()
        self._started_us: int | None = None
        self._stopped_us: int | None = None
        self._links: list[LinkTap] = []
        self.on_rtp_sent: Callable[[int, int], None] = lambda rtp_timestamp, now_us: None
        """Told of each RTP datagram that leaves: its 32-bit timestamp, and when."""

    def open_link(self) -> LinkTap:
        """A tap for a new connection."""
        self._links = [link for link in self._links if link.has_undelivered][-8:]
        tap = LinkTap(self, self._clock)
        self._links.append(tap)
        return tap

    def start(self) -> None:
        """The call's time begins (first connection is up)."""
        if self._started_us is None:
            self._started_us = self._clock.now_us()

    def stop(self) -> None:
        """The call's time ends; later snapshots divide by the time until now."""
        self._stopped_us = self._clock.now_us()

    @property
    def duration_s(self) -> float:
        """Since `start`, until `stop` or now."""
        if self._started_us is None:
            return 0.0
        return ((self._stopped_us or self._clock.now_us()) - self._started_us) / 1e6

    def snapshot(self) -> WireTotals:
        """What was counted so far."""
        for link in self._links:
            link.flush_undelivered()
        return WireTotals(
            duration_s=round(self.duration_s, 3),
            talk_s=round(self.up.talk_ticks / RTP_CLOCK_HZ, 3),
            heard_talk_s=round(self.down.talk_ticks / RTP_CLOCK_HZ, 3),
            setup_bytes=self.up.setup_bytes + self.down.setup_bytes,
            identity_bytes=self.up.identity_bytes + self.down.identity_bytes,
            up=_totals(self.up, self.duration_s),
            down=_totals(self.down, self.duration_s),
        )


class LinkTap:
    """Where one connection reports its datagrams."""

    def __init__(self, meter: WireMeter, clock: Clock) -> None:
        self._meter, self._clock = meter, clock
        self.srtp_tag_bytes = SRTP_DEFAULT_TAG_BYTES
        """Set once the handshake has chosen a profile."""
        self.is_set_up = False
        """False while ICE and DTLS shake hands: then everything but RTP and RTCP is set-up."""
        self.control_phase = ControlPhase.SETUP
        self._costs: deque[PacketCost] = deque(maxlen=256)
        self._undelivered: dict[bytes, tuple[int, int, int, int]] = {}

    @property
    def has_undelivered(self) -> bool:
        """True while RTP datagrams wait for their payload to be known."""
        return bool(self._undelivered)

    def expect_rtp(self, cost: PacketCost) -> None:
        """The next RTP datagram to leave has this content."""
        self._costs.append(cost)

    def sent(self, payload: bytes, header_bytes: int, framing_bytes: int = 0) -> None:
        """A datagram leaves: UDP payload, IP and UDP header size, TURN framing inside the payload's message."""
        self._count(self._meter.up, payload, header_bytes, framing_bytes, is_sent=True)

    def received(self, payload: bytes, header_bytes: int, framing_bytes: int = 0) -> None:
        """A datagram has come in."""
        self._count(self._meter.down, payload, header_bytes, framing_bytes, is_sent=False)

    def rtp_delivered(self, key: bytes, content: AudioPayload | MalformedPayload) -> int | None:
        """What the RTP datagram received before holds; `key` is bytes 2..12 of its header.

        Returns:
            When the datagram came out of the socket, in microseconds; None when it was not seen.
        """
        waiting = self._undelivered.pop(key, None)
        if waiting is None:
            return None
        arrival_us, header_bytes, rtp_bytes, wire_payload = waiting
        self._book_rtp(self._meter.down, header_bytes, rtp_bytes, wire_payload, _received_cost(content, wire_payload))
        return arrival_us

    def flush_undelivered(self) -> None:
        """Book datagrams whose payload never came out of decryption (duplicates, forgeries)."""
        now_us = self._clock.now_us()
        for key, (arrival_us, header_bytes, rtp_bytes, wire_payload) in list(self._undelivered.items()):
            if now_us - arrival_us >= DELIVERY_US:
                del self._undelivered[key]
                cost = self._unknown_cost(wire_payload)
                self._book_rtp(self._meter.down, header_bytes, rtp_bytes, wire_payload, cost)

    def _count(self, direction: _Direction, payload: bytes, header: int, framing: int, *, is_sent: bool) -> None:
        kind = datagram_kind(payload)
        size = len(payload)
        if kind is DatagramKind.RTP:
            rtp_bytes = rtp_header_bytes(payload)
            wire_payload = max(0, size - rtp_bytes - self.srtp_tag_bytes)
            if framing:
                direction.book({"stun": framing})
                direction.datagrams -= 1
            if is_sent:
                self._meter.on_rtp_sent(int.from_bytes(payload[4:8], "big"), self._clock.now_us())
                cost = self._costs.popleft() if self._costs else PacketCost(wire_payload, 0, 0, False, 0)
                self._book_rtp(direction, header, rtp_bytes, wire_payload, cost)
            else:
                self._hold(payload[2:12], (self._clock.now_us(), header, rtp_bytes, wire_payload))
        elif kind is DatagramKind.RTCP:
            direction.book({"rtcp": size, "stun": framing, "ip_udp": header})
        elif not self.is_set_up:
            direction.setup_bytes += header + framing + size
        elif kind is DatagramKind.DTLS:
            self._book_control(direction, header, framing, size)
        else:
            direction.book({"stun": framing + size, "ip_udp": header})

    def _book_control(self, direction: _Direction, header: int, framing: int, size: int) -> None:
        if self.control_phase is ControlPhase.SETUP:
            direction.setup_bytes += header + framing + size
        elif self.control_phase is ControlPhase.IDENTITY:
            direction.identity_bytes += header + framing + size
        else:
            direction.book({"dtls_sctp": size, "stun": framing, "ip_udp": header})

    def _hold(self, key: bytes, entry: tuple[int, int, int, int]) -> None:
        stale = self._undelivered.pop(key, None)
        if stale is None and len(self._undelivered) >= MAX_UNDELIVERED:
            stale = self._undelivered.pop(next(iter(self._undelivered)))
        if stale is not None:
            self._book_rtp(self._meter.down, stale[1], stale[2], stale[3], self._unknown_cost(stale[3]))
        self._undelivered[key] = entry

    def _unknown_cost(self, wire_payload: int) -> PacketCost:
        """Of a datagram that never came out of decryption: it changes nothing about who is talking."""
        return PacketCost(wire_payload, 0, 0, self._meter.down.is_talking, 0)

    def _book_rtp(
        self, direction: _Direction, header: int, rtp_bytes: int, wire_payload: int, cost: PacketCost
    ) -> None:
        direction.is_talking = cost.is_talking
        direction.talk_ticks += cost.duration_ticks if cost.is_talking else 0
        direction.book(
            {
                "opus": wire_payload - cost.style_bytes - cost.redundancy_bytes,
                "style": cost.style_bytes,
                "redundancy": cost.redundancy_bytes,
                "rtp_header": rtp_bytes,
                "srtp_tag": self.srtp_tag_bytes,
                "ip_udp": header,
            }
        )


def _totals(direction: _Direction, duration_s: float) -> DirectionTotals:
    def kbps(num_bytes: int, seconds: float) -> float:
        return round(num_bytes * 8 / seconds / 1000, 3) if seconds > 0 else 0.0

    talk_s = direction.talk_ticks / RTP_CLOCK_HZ
    total = sum(direction.total.values())
    return DirectionTotals(
        kbps=kbps(total, duration_s),
        talking_kbps=kbps(sum(direction.talking.values()), talk_s),
        bytes=total,
        datagrams=direction.datagrams,
        components={
            name: ComponentTotals(
                bytes=direction.total[name],
                kbps=kbps(direction.total[name], duration_s),
                talking_kbps=kbps(direction.talking[name], talk_s),
            )
            for name in COMPONENTS
        },
    )


def _received_cost(content: AudioPayload | MalformedPayload, wire_payload: int) -> PacketCost:
    if isinstance(content, MalformedPayload):  # the receiver counts it; here only its bytes matter
        return PacketCost(wire_payload, 0, 0, False, 0)
    style, redundancy, opus = content.style_bytes, content.redundancy_bytes, content.opus
    return PacketCost(wire_payload - style - redundancy, style, redundancy, not opus.is_empty, opus.duration_ticks)
