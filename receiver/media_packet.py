"""From an RTP packet of the wire to a packet on the receiver's own, never wrapping timeline (RFC 3550 appendix A.1).

`PacketIntake` unwraps sequence number and timestamp and guards the timeline: one stray packet of another source or
with an absurd timestamp is dropped, two in a row that agree with each other start a new stream. Ticks go on growing
across such a restart, so that nothing behind needs to know.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.audio_payload import MalformedPayload
from protocol.interfaces import ReceivedPacket
from protocol.opus_padding import PlainOpus
from protocol.rtp_time import TICKS_PER_MS, SequenceUnwrapper, TimestampUnwrapper

MAX_TIMESTAMP_JUMP_TICKS = 5_000 * TICKS_PER_MS
"""Farther than this from where the arrival time puts a packet, its timestamp is not believed at once."""
MAX_SEQUENCE_JUMP = 3000
"""RFC 3550 MAX_DROPOUT."""
_RESTART_SEQUENCE_GAP = 1000
"""Keeps packets of the old stream and the new one from looking adjacent."""


@dataclass(frozen=True, slots=True)
class MediaPacket:
    """One packet of sound on the receiver's timeline."""

    sequence: int
    """Unwrapped; consecutive packets differ by 1."""
    start_ticks: int
    """48 kHz, 0 at the first packet received."""
    opus: PlainOpus
    arrival_us: int
    rtp_timestamp: int = 0
    """As on the wire, 32 bits."""
    sequence_number: int = 0
    """As on the wire, 16 bits."""
    style: bytes = b""
    redundancy: PlainOpus | None = None
    """The sound of the packet before this one."""
    is_repair: bool = False
    """Taken from the redundancy of the packet after it."""
    is_restart: bool = False
    """First of a new stream: its timing owes nothing to what came before."""

    @property
    def duration_ticks(self) -> int:
        return self.opus.duration_ticks

    @property
    def end_ticks(self) -> int:
        return self.start_ticks + self.opus.duration_ticks

    @property
    def is_empty(self) -> bool:
        """Comfort noise or a carrier of style in silence: no coded sound."""
        return self.opus.is_empty

    def repair_of_previous(self) -> MediaPacket | None:
        """The packet before this one out of the redundancy; None when there is none worth playing."""
        if self.redundancy is None:
            return None
        return MediaPacket(
            sequence=self.sequence - 1,
            start_ticks=self.start_ticks - self.redundancy.duration_ticks,
            opus=self.redundancy,
            arrival_us=self.arrival_us,
            is_repair=True,
        )


@dataclass(slots=True)
class IntakeCounters:
    """What came in; only grows."""

    received: int = 0
    """Well-formed packets of the stream, duplicates included."""
    malformed: int = 0
    """Not an Opus packet, or absurdly long."""
    bad_style_blocks: int = 0
    """Padding that claims to be ours and is damaged; the sound was played."""
    stray: int = 0
    """Dropped because source, sequence number or timestamp did not belong to the stream."""
    restarts: int = 0
    """New streams: another SSRC, or a jump that the packets after it confirmed."""


class PacketIntake:
    """Checks and unwraps the packets of one call; time comes in with each packet."""

    def __init__(self) -> None:
        self.counters = IntakeCounters()
        self._sequences = SequenceUnwrapper()
        self._timestamps = TimestampUnwrapper()
        self._ssrc: int | None = None
        self._newest: MediaPacket | None = None
        self._sequence_offset = 0
        self._ticks_offset = 0
        self._candidate: ReceivedPacket | None = None
        self._restart_expected = False

    def expect_new_stream(self) -> None:
        """The next packet starts a new stream whatever its numbers are (the link was replaced)."""
        self._restart_expected = True
        self._candidate = None

    def accept(self, packet: ReceivedPacket) -> MediaPacket | None:
        """Returns the packet on the timeline, or None when it was dropped and counted."""
        content = packet.content
        if isinstance(content, MalformedPayload):
            self.counters.malformed += 1
            return None
        self.counters.bad_style_blocks += content.is_block_damaged
        is_restart = self._is_restart(packet)
        if is_restart is None:
            self.counters.stray += 1
            return None
        sequence, start_ticks = self._place(packet, content.opus.duration_ticks, is_restart)
        self.counters.received += 1
        result = MediaPacket(
            sequence=sequence,
            start_ticks=start_ticks,
            opus=content.opus,
            arrival_us=packet.arrival_time_us,
            rtp_timestamp=packet.rtp_timestamp,
            sequence_number=packet.sequence_number,
            style=content.style,
            redundancy=content.redundancy,
            is_restart=is_restart,
        )
        if self._newest is None or sequence > self._newest.sequence:
            self._newest = result
        return result

    def _is_restart(self, packet: ReceivedPacket) -> bool | None:
        """False: goes on with the stream. True: starts a new one. None: belongs to neither, drop it."""
        if self._newest is None or self._restart_expected:
            return True
        if packet.ssrc == self._ssrc and self._continues(packet):
            self._candidate = None
            return False
        candidate, self._candidate = self._candidate, packet
        if candidate is None or candidate.ssrc != packet.ssrc:
            return None
        sequence_step = (packet.sequence_number - candidate.sequence_number) & 0xFFFF
        timestamp_step = (packet.rtp_timestamp - candidate.rtp_timestamp) & 0xFFFFFFFF
        if 0 < sequence_step < 100 and 0 < timestamp_step < MAX_TIMESTAMP_JUMP_TICKS:
            return True
        return None

    def _continues(self, packet: ReceivedPacket) -> bool:
        assert self._newest is not None
        newest = self._newest
        sequence_step = _signed(packet.sequence_number - (newest.sequence - self._sequence_offset), 16)
        if abs(sequence_step) > MAX_SEQUENCE_JUMP:
            return False
        timestamp_step = _signed(packet.rtp_timestamp - newest.rtp_timestamp, 32)
        if sequence_step > 0 and timestamp_step < 0:
            return False  # time cannot run backwards while sequence numbers go on
        elapsed_ticks = (packet.arrival_time_us - newest.arrival_us) * TICKS_PER_MS // 1000
        return abs(timestamp_step - elapsed_ticks) <= MAX_TIMESTAMP_JUMP_TICKS

    def _place(self, packet: ReceivedPacket, duration: int, is_restart: bool) -> tuple[int, int]:
        """(sequence, start_ticks) on the timeline."""
        if is_restart:
            self._restart_expected = False
            self._candidate = None
            self._ssrc = packet.ssrc
            self._sequences.reset()
            self._timestamps.reset()
            next_sequence, next_ticks = 0, 0
            if self._newest is not None:
                self.counters.restarts += 1
                gap_us = max(0, packet.arrival_time_us - self._newest.arrival_us)
                next_sequence = self._newest.sequence + _RESTART_SEQUENCE_GAP
                next_ticks = self._newest.end_ticks + max(0, gap_us * TICKS_PER_MS // 1000 - duration)
            self._sequence_offset = next_sequence - packet.sequence_number
            self._ticks_offset = next_ticks - packet.rtp_timestamp
            self._newest = None
        sequence = self._sequences.unwrap(packet.sequence_number) + self._sequence_offset
        return sequence, self._timestamps.unwrap(packet.rtp_timestamp) + self._ticks_offset


def _signed(difference: int, bits: int) -> int:
    """The smallest signed step that equals `difference` modulo 2^bits."""
    modulus = 1 << bits
    wrapped = difference % modulus
    return wrapped - modulus if wrapped >= modulus // 2 else wrapped
