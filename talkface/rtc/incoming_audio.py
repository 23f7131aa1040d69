"""What a link hears: each RTP packet is timed, parsed, counted and handed to the sessions."""

from __future__ import annotations

import struct

from protocol.audio_payload import parse_audio_payload
from protocol.interfaces import Clock, ReceivedPacket
from talkface.rtc.adapter.router import RawRtp
from talkface.rtc.listeners import Listeners
from talkface.rtc.rtcp import ReceptionStatistics
from talkface.rtc.wire.meter import LinkTap


class IncomingAudio:
    """The way of a packet from decryption to the sessions, and when anything was heard.

    Args:
        tap: knows when a packet's datagram left the socket, and books its content.
        statistics: counts for our receiver reports.
    """

    def __init__(self, tap: LinkTap, statistics: ReceptionStatistics, clock: Clock) -> None:
        self._tap, self._statistics, self._clock = tap, statistics, clock
        self.listeners: Listeners[ReceivedPacket] = Listeners()
        self.last_heard_us = clock.now_us()
        """When anything last came from the peer's address (RTP, RTCP, STUN or DTLS)."""
        self.last_audio_us: int | None = None
        """When its last audio packet came; None before the first."""
        self.last_refused_us: int | None = None
        """When its machine last said that nobody listens at its port; None: never."""

    def refused(self) -> None:
        """The peer's port is closed."""
        self.last_refused_us = self._clock.now_us()

    def heard(self) -> None:
        """Something came from the peer's address."""
        self.last_heard_us = self._clock.now_us()

    def received(self, packet: RawRtp) -> None:
        """Take one decrypted packet."""
        content = parse_audio_payload(packet.payload)
        key = struct.pack("!HII", packet.sequence_number, packet.timestamp, packet.ssrc)
        arrival_us = self._tap.rtp_delivered(key, content)
        if arrival_us is None:
            arrival_us = self._clock.now_us()
        self.last_audio_us = arrival_us
        self.last_heard_us = max(self.last_heard_us, arrival_us)
        self._statistics.packet_received(packet.ssrc, packet.sequence_number, packet.timestamp, arrival_us)
        self.listeners.tell(ReceivedPacket(packet.sequence_number, packet.timestamp, content, packet.ssrc, arrival_us))
