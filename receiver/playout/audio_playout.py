"""From packets to one unbroken signal at 48 kHz: deadline playout with an adaptive delay (design of NetEq, in small).

    add(packet) ─> jitter buffer ─┐
                                  ├─ take at the deadline ─> decode ─> stretch ─> fine resampler ─> chunk
    (nothing there) ─> conceal ───┘

Whatever the network does, `advance(now)` returns exactly the samples that are due: received, repaired, concealed or
comfort noise. A packet that comes late is played from the tick where its concealment ended, so it adds no delay.
The delay is brought to its target by pitch periods dropped or repeated in speech, by cuts in silence, and by parts
per million for the sender's clock. Nothing sleeps here and nothing looks at a clock.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.rtp_time import TICKS_PER_MS
from receiver.media_packet import MediaPacket
from receiver.playout.delay import PlayoutDelay
from receiver.playout.fine_resampler import MAX_RATIO_PPM
from receiver.playout.jitter_buffer import AddResult, JitterBuffer
from receiver.playout.loss_counter import LossCounter
from receiver.playout.media_clock import MediaClock
from receiver.playout.sound_tools import REAL_TOOLS, SoundTools
from receiver.playout.stall_tracker import SoundStallTracker
from receiver.playout.time_stretch import lengthen, shorten
from receiver.playout.timeline import PlayoutTimeline

FILL_TICKS = 20 * TICKS_PER_MS
"""Concealment and comfort noise come in pieces of 20 ms, so that a packet that is late by less is still heard."""
STRETCH_FROM_MS = 10.0
"""Distance from the target delay from which pitch periods are dropped or repeated."""
FORCE_STRETCH_FROM_MS = 60.0
"""... from which unvoiced sound is cut too."""
HOLD_FROM_MS = 20.0
"""In a hole: how far below the target the delay must be for the signal to wait instead of going on."""
SKIP_FROM_MS = 400.0
"""Excess delay that is dropped at once (a queue on the path was flushed): stretching would take too long."""
PPM_DEADBAND_MS = 3.0
PPM_PER_MS = 30.0
OUTAGE_US = 1_000_000
"""No packet for this long while speech was expected: the timing starts afresh with the next one."""
SILENCE_OUTAGE_US = 3_000_000
"""... in a pause. Browsers send nothing for up to 1.2 s in one."""
MAX_LATE_IN_A_ROW = 8
"""So many packets behind their time mean that the path got slower by more than the target can grow."""
MAX_BEHIND_US = 5_000_000
"""When the process slept for longer, the timeline moves instead of being filled with noise."""
_CROSSFADE = 240


class ChunkKind(enum.Enum):
    """Where a piece of the playout signal came from."""

    RECEIVED = "received"
    REPAIRED = "repaired"
    CONCEALED = "concealed"
    COMFORT_NOISE = "comfort_noise"
    OUTAGE = "outage"
    """Noise after concealment has ended: counts as a stall."""


@dataclass(frozen=True, slots=True)
class PlayoutChunk:
    """A piece of the playout signal; pieces follow each other without a gap."""

    start_samples: int
    pcm: NDArray[np.int16]
    """[n] int16 mono, 48 kHz."""
    kind: ChunkKind
    packet: MediaPacket | None
    """What was decoded for it; its style belongs to this time."""


@dataclass(slots=True)
class PlayoutCounters:
    repaired: int = 0
    concealed_ticks: int = 0
    outage_ticks: int = 0
    comfort_noise_ticks: int = 0
    skipped_ms: float = 0.0
    resyncs: int = 0
    redundancy_seen: int = 0


class AudioPlayout:
    """The sound half of a receiver: one instance per call, times as arguments."""

    def __init__(self, clock: MediaClock, tools: SoundTools = REAL_TOOLS) -> None:
        """`clock` is started by the first packet. Raises OpusUnavailableError when there is no libopus."""
        self.buffer = JitterBuffer()
        self.delay = PlayoutDelay()
        self.decoder = tools.decoder()
        self.losses = LossCounter()
        self.stalls = SoundStallTracker()
        self.timeline = PlayoutTimeline(clock)
        self.counters = PlayoutCounters()
        self._resampler = tools.skew_resampler()
        self._last: MediaPacket | None = None
        self._last_arrival_us: int | None = None
        self._is_silent = False
        self._late_in_a_row = 0

    @property
    def next_due_us(self) -> int | None:
        """When the next piece must be made; None before the first packet."""
        return self.timeline.next_due_us

    @property
    def delay_ms(self) -> float | None:
        """How long a fastest packet waits at present, from its arrival to its deadline."""
        due_us = self.timeline.next_due_us
        if self._last_arrival_us is None or due_us is None:
            return None
        return (due_us - self.delay.base_us(self.timeline.cursor_ticks)) / 1000.0

    def add(self, packet: MediaPacket) -> AddResult:
        """Take one packet of the wire and the repair that it carries."""
        is_first = self._needs_resync(packet)
        if is_first:
            self._resync(packet)
        result = self.buffer.add(packet, self.timeline.cursor_ticks)
        if result is AddResult.DUPLICATE:
            return result
        self._last_arrival_us = packet.arrival_us
        if not is_first:
            self.delay.observe(packet.arrival_us, packet.start_ticks)
        if self.losses.add(packet.sequence, is_restart=packet.is_restart) > 0:
            self.delay.note_loss(packet.arrival_us)
        repair = packet.repair_of_previous()
        if repair is not None:
            self.counters.redundancy_seen += 1
            self.delay.note_redundancy(packet.arrival_us, packet.duration_ticks / TICKS_PER_MS)
            self.buffer.add_repair(repair, self.timeline.cursor_ticks)
        self._late_in_a_row = self._late_in_a_row + 1 if result is AddResult.LATE else 0
        if self._late_in_a_row >= MAX_LATE_IN_A_ROW:
            self._resync(packet)
        return result

    def advance(self, now_us: int) -> list[PlayoutChunk]:
        """Make every piece that is due at `now_us`."""
        chunks: list[PlayoutChunk] = []
        due_us = self.next_due_us
        if due_us is not None and now_us - due_us > MAX_BEHIND_US:
            self.timeline.postpone(now_us - due_us)
        while (due_us := self.next_due_us) is not None and due_us <= now_us:
            chunks.append(self._make_piece(due_us))
        return chunks

    def close(self) -> None:
        """Free the decoder."""
        self.decoder.close()

    def _needs_resync(self, packet: MediaPacket) -> bool:
        if self._last_arrival_us is None or packet.is_restart:
            return True
        limit_us = SILENCE_OUTAGE_US if self._is_silent else OUTAGE_US
        return packet.arrival_us - self._last_arrival_us > limit_us

    def _resync(self, packet: MediaPacket) -> None:
        """Let this packet be due one target delay after it came."""
        if self._last_arrival_us is not None:
            self.counters.resyncs += 1
        self.delay.reset()
        self.delay.observe(packet.arrival_us, packet.start_ticks)  # playout goes on before the next packet comes
        self.timeline.place(packet.start_ticks, packet.arrival_us, self.delay.target_ms * 1000.0)
        self._late_in_a_row = 0

    def _make_piece(self, due_us: int) -> PlayoutChunk:
        excess_ms = (due_us - self.delay.base_us(self.timeline.cursor_ticks)) / 1000.0 - self.delay.target_ms
        if excess_ms > SKIP_FROM_MS:
            self.counters.skipped_ms += excess_ms
            self.timeline.cursor_ticks += round(excess_ms * TICKS_PER_MS)
            excess_ms = 0.0
        packet = self.buffer.take(self.timeline.cursor_ticks)
        if packet is None:
            pcm, num_ticks, kind = self._fill(excess_ms, due_us)
        elif packet.is_empty:
            pcm, num_ticks, kind = self._play_empty(packet, excess_ms)
        else:
            pcm, num_ticks, kind = self._play(packet, excess_ms)
        output = self._resampler.process(pcm, correction_ppm(self.delay.skew.ppm, excess_ms))
        chunk = PlayoutChunk(self.timeline.num_samples, output, kind, packet)
        self.timeline.append(output.shape[0], num_ticks)
        return chunk

    def _play(self, packet: MediaPacket, excess_ms: float) -> tuple[NDArray[np.int16], int, ChunkKind]:
        """Sound of a packet from the cursor on, a little shorter or longer when the delay is off its target."""
        concealed_ticks = self.timeline.cursor_ticks - packet.start_ticks
        bridge = self.decoder.conceal(2 * _CROSSFADE)[:_CROSSFADE] if concealed_ticks else None
        pcm = self.decoder.decode(packet)[concealed_ticks:]
        num_ticks = pcm.shape[0]
        if bridge is not None:
            pcm = _crossfade(bridge, pcm)
        self._end_hole(packet, concealed_ticks)
        if packet.is_repair:
            self.counters.repaired += 1
        pcm = _towards_target(pcm, excess_ms)
        return pcm, num_ticks, ChunkKind.REPAIRED if packet.is_repair else ChunkKind.RECEIVED

    def _play_empty(self, packet: MediaPacket, excess_ms: float) -> tuple[NDArray[np.int16], int, ChunkKind]:
        """Comfort noise that the sender asked for, up to the packet's end."""
        concealed_ticks = self.timeline.cursor_ticks - packet.start_ticks
        pcm = self.decoder.decode(packet)[concealed_ticks:]
        self._end_hole(packet, concealed_ticks)
        self.counters.comfort_noise_ticks += pcm.shape[0]
        num_ticks = pcm.shape[0]
        if excess_ms > STRETCH_FROM_MS:
            cut = min(round(excess_ms * TICKS_PER_MS), pcm.shape[0] // 2)
            pcm = pcm[: pcm.shape[0] - cut]
        return pcm, num_ticks, ChunkKind.COMFORT_NOISE

    def _fill(self, excess_ms: float, due_us: int) -> tuple[NDArray[np.int16], int, ChunkKind]:
        """No packet covers this time: comfort noise in a pause, concealment in speech."""
        following = self.buffer.next_after(self.timeline.cursor_ticks)
        gap_ticks = following.start_ticks - self.timeline.cursor_ticks if following is not None else None
        if following is not None and self._last is not None and following.sequence == self._last.sequence + 1:
            self._is_silent = True  # nothing is missing: the sender had nothing to say
        elif self._last_arrival_us is not None and due_us - self._last_arrival_us > SILENCE_OUTAGE_US:
            self._is_silent = False  # no pause is that quiet: the path is dead
        length = FILL_TICKS if gap_ticks is None else max(1, min(FILL_TICKS, gap_ticks))
        num_ticks = length
        if excess_ms < -(STRETCH_FROM_MS if self._is_silent else HOLD_FROM_MS):
            length = FILL_TICKS
            num_ticks = max(0, min(num_ticks, length + round(excess_ms * TICKS_PER_MS)))
        elif excess_ms > STRETCH_FROM_MS and self._is_silent:
            room = FILL_TICKS if gap_ticks is None else gap_ticks - length
            num_ticks = length + min(round(excess_ms * TICKS_PER_MS), room)
        pcm = self.decoder.conceal(length)
        if self._is_silent:
            self.counters.comfort_noise_ticks += length
            return pcm, num_ticks, ChunkKind.COMFORT_NOISE
        if self.stalls.fill(length / TICKS_PER_MS):
            self.counters.concealed_ticks += length
            return pcm, num_ticks, ChunkKind.CONCEALED
        self.counters.outage_ticks += length
        return pcm, num_ticks, ChunkKind.OUTAGE

    def _end_hole(self, packet: MediaPacket, concealed_ticks: int) -> None:
        missing_ticks = concealed_ticks
        if self._last is not None:
            missing_ticks += max(0, packet.sequence - self._last.sequence - 1) * self._last.duration_ticks
        self.stalls.end_hole(missing_ticks / TICKS_PER_MS)
        self._is_silent = packet.is_empty
        self._last = packet


def correction_ppm(skew_ppm: float, excess_ms: float) -> float:
    """How much faster than recorded the sound is played: the sender's clock, and a pull towards the target delay."""
    pull_ppm = PPM_PER_MS * excess_ms if abs(excess_ms) > PPM_DEADBAND_MS else 0.0
    return max(-MAX_RATIO_PPM, min(MAX_RATIO_PPM, skew_ppm + pull_ppm))


def _towards_target(pcm: NDArray[np.int16], excess_ms: float) -> NDArray[np.int16]:
    """Drop or repeat pitch periods, at most one per 20 ms of sound."""
    if abs(excess_ms) <= STRETCH_FROM_MS:
        return pcm
    stretch = shorten if excess_ms > 0 else lengthen
    budget = round(abs(excess_ms) * TICKS_PER_MS)
    is_forced = abs(excess_ms) > FORCE_STRETCH_FROM_MS
    num_parts = max(1, pcm.shape[0] // FILL_TICKS)
    parts: list[NDArray[np.int16]] = []
    for part in np.array_split(pcm, num_parts):
        changed = stretch(part, budget, force=is_forced)
        budget -= abs(changed.shape[0] - part.shape[0])
        parts.append(changed)
    return np.concatenate(parts)


def _crossfade(old: NDArray[np.int16], new: NDArray[np.int16]) -> NDArray[np.int16]:
    """`new`, entered softly from `old`."""
    length = min(old.shape[0], new.shape[0])
    fade = np.linspace(0.0, 1.0, length, dtype=np.float32)
    joined = np.rint(old[:length] * (1.0 - fade) + new[:length] * fade).astype(np.int16)
    return np.concatenate([joined, new[length:]])
