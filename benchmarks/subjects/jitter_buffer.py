"""The jitter buffer: packets per second through `add` and `take`, with loss, jitter and redundancy.

A sample is a minute of packets, each added when it comes, with what it repairs, and taken at its deadline.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.benchmark import CALLS_PER_TURN, Benchmark, Settings
from benchmarks.measurement import Outcome, Unit, measured
from benchmarks.subjects.speech import PRESET
from benchmarks.timer import Case, take_turns, timed_ms
from protocol.opus_padding import PlainOpus
from protocol.rtp_time import TICKS_PER_MS
from receiver.media_packet import MediaPacket
from receiver.playout.jitter_buffer import JitterBuffer

NUM_PACKETS = 1000
LOSS, JITTER_MS, DELAY_MS = 0.05, 40.0, 200
"""Share lost; standard deviation of the delay (half-normal); wait until a packet is played."""


def run(settings: Settings) -> Iterator[Outcome]:
    """One stream again and again, each time through a fresh buffer."""
    arrivals = stream(NUM_PACKETS)
    timing = take_turns([Case(timed_ms(lambda: play(arrivals)))], rounds=settings.rounds, calls=CALLS_PER_TURN)[0]
    rates = [1000 * len(arrivals) / ms for ms in timing.samples]
    parameters = {"lost": f"{LOSS:.0%}", "jitter": f"{JITTER_MS:.0f} ms"}
    yield measured("packets in and out", rates, Unit.PACKETS_PER_SECOND, parameters)


def stream(count: int) -> list[tuple[int, MediaPacket]]:
    """(arrival in ticks, packet) of those that arrive, in order of arrival; neighbours overtake each other."""
    generator = np.random.default_rng(0)
    delays_ms = np.abs(generator.normal(0, JITTER_MS, count))
    is_lost = generator.random(count) < LOSS
    opus = PlainOpus(b"x" * 60, PRESET.packet_ticks, is_empty=False)
    found = []
    for sequence in np.flatnonzero(~is_lost).tolist():
        arrival = round((sequence * PRESET.packet_ms + float(delays_ms[sequence])) * TICKS_PER_MS)
        start = sequence * PRESET.packet_ticks
        packet = MediaPacket(sequence, start, opus, arrival * 1000 // TICKS_PER_MS, redundancy=opus)
        found.append((arrival, packet))
    return sorted(found, key=lambda pair: pair[0])


def play(arrivals: list[tuple[int, MediaPacket]]) -> int:
    """The stream through a buffer; returns how many packets were there when they were due."""
    buffer = JitterBuffer()
    num_taken, index = 0, 0
    last_ticks = arrivals[-1][1].end_ticks
    for cursor in range(0, last_ticks, PRESET.packet_ticks):
        while index < len(arrivals) and arrivals[index][0] <= cursor + DELAY_MS * TICKS_PER_MS:
            packet = arrivals[index][1]
            buffer.add(packet, cursor)
            repair = packet.repair_of_previous()
            if repair is not None:
                buffer.add_repair(repair, cursor)
            index += 1
        num_taken += buffer.take(cursor) is not None
    return num_taken


BENCHMARK = Benchmark("jitter_buffer", "Jitter buffer", run)
