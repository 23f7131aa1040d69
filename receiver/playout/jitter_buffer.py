"""Packets waiting for their turn, ordered by time and bounded in milliseconds (NetEq's packet buffer, in small).

The buffer holds and orders; it never decides that it is time. `audio_playout` asks for the packet that covers the
tick to be played now and conceals when there is none: a gap ends at its deadline, whether or not later packets came.
A repaired packet (from redundancy) gives way to the real one when that still arrives.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from dataclasses import dataclass

from protocol.rtp_time import TICKS_PER_MS
from receiver.media_packet import MediaPacket

MAX_BUFFERED_TICKS = 3_000 * TICKS_PER_MS
"""A packet farther ahead of playout than this is refused: nothing real is that early."""
MAX_PACKETS = 320
"""3 s of 10 ms packets, and some."""
_REMEMBERED_SEQUENCES = 2048


class AddResult(enum.Enum):
    """What became of a packet."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    LATE = "late"
    """All of its time has been played already."""
    TOO_EARLY = "too_early"
    FULL = "full"


@dataclass(slots=True)
class BufferCounters:
    """Fates of real packets; repairs are not counted here."""

    stored: int = 0
    duplicates: int = 0
    late: int = 0
    too_early: int = 0
    full: int = 0


class JitterBuffer:
    """Bounded store of `MediaPacket`s by sequence; refuses the newest when full."""

    def __init__(self, max_packets: int = MAX_PACKETS, max_ticks: int = MAX_BUFFERED_TICKS) -> None:
        self.counters = BufferCounters()
        self._max_packets = max_packets
        self._max_ticks = max_ticks
        self._packets: dict[int, MediaPacket] = {}
        self._seen: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._packets)

    def add(self, packet: MediaPacket, cursor_ticks: int) -> AddResult:
        """Store a packet that came from the wire; `cursor_ticks` is the next tick to be played."""
        if packet.sequence in self._seen:
            self.counters.duplicates += 1
            return AddResult.DUPLICATE
        self._remember(packet.sequence)
        if packet.end_ticks <= cursor_ticks:
            self.counters.late += 1
            return AddResult.LATE
        if packet.start_ticks - cursor_ticks > self._max_ticks:
            self.counters.too_early += 1
            return AddResult.TOO_EARLY
        if len(self._packets) >= self._max_packets and packet.sequence not in self._packets:
            self.counters.full += 1
            return AddResult.FULL
        self.counters.stored += 1
        self._packets[packet.sequence] = packet
        return AddResult.STORED

    def add_repair(self, repair: MediaPacket, cursor_ticks: int) -> bool:
        """Store a repaired packet unless the real one is here, was here, or its time is over; True when stored."""
        if repair.sequence in self._seen or repair.sequence in self._packets or repair.end_ticks <= cursor_ticks:
            return False
        if len(self._packets) >= self._max_packets or repair.start_ticks - cursor_ticks > self._max_ticks:
            return False
        self._packets[repair.sequence] = repair
        return True

    def take(self, cursor_ticks: int) -> MediaPacket | None:
        """Remove and return the packet whose time covers `cursor_ticks`; drops packets that are over."""
        best: MediaPacket | None = None
        for sequence, packet in list(self._packets.items()):
            if packet.end_ticks <= cursor_ticks:
                del self._packets[sequence]
            elif packet.start_ticks <= cursor_ticks and (best is None or packet.start_ticks > best.start_ticks):
                # Of two that overlap (hostile, or a wrong repair) the later start carries the newer sound.
                best = packet
        if best is not None:
            del self._packets[best.sequence]
        return best

    def next_after(self, cursor_ticks: int) -> MediaPacket | None:
        """The earliest packet that starts at or after `cursor_ticks`; it stays in the buffer."""
        waiting = [packet for packet in self._packets.values() if packet.start_ticks >= cursor_ticks]
        return min(waiting, key=lambda packet: packet.start_ticks, default=None)

    def end_ticks(self) -> int | None:
        """Where the sound in the buffer ends; None when it is empty."""
        return max((packet.end_ticks for packet in self._packets.values()), default=None)

    def clear(self) -> None:
        """Drop what waits; sequences already seen stay known as duplicates."""
        self._packets.clear()

    def _remember(self, sequence: int) -> None:
        self._seen[sequence] = None
        if len(self._seen) > _REMEMBERED_SEQUENCES:
            self._seen.popitem(last=False)
