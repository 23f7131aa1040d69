"""Opus: sound of one packet of the default preset to bytes, back, and made up when the packet is lost."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from benchmarks.benchmark import CALLS_PER_TURN, Benchmark, Settings
from benchmarks.measurement import Outcome, Unit, measured
from benchmarks.subjects.speech import PRESET, opus_packets, speech_packets
from benchmarks.timer import Case, take_turns, timed_ms
from talkface_core.sound.opus import OpusDecoder, OpusEncoder


def run(settings: Settings) -> Iterator[Outcome]:
    """Each with a coder of its own, in turns."""
    sound, packets = itertools.cycle(speech_packets()), itertools.cycle(opus_packets())
    with (
        OpusEncoder(PRESET.bitrate_bps, PRESET.packet_ms) as encoder,
        OpusDecoder() as decoder,
        OpusDecoder() as concealer,
    ):
        conceal = timed_ms(lambda: concealer.decode(None, PRESET.packet_ticks))

        def lose_one() -> float:
            # Concealment fades out: it is always the first packet after sound that is made up.
            concealer.decode(next(packets))
            return conceal()

        rows = {
            "encode": Case(timed_ms(lambda: encoder.encode(next(sound)))),
            "decode": Case(timed_ms(lambda: decoder.decode(next(packets)))),
            "conceal": Case(lose_one),
        }
        timings = take_turns(list(rows.values()), rounds=settings.rounds, calls=CALLS_PER_TURN)
    parameters = {"packet": f"{PRESET.packet_ms} ms", "rate": f"{PRESET.bitrate_bps // 1000} kbps"}
    for name, timing in zip(rows, timings, strict=True):
        yield measured(name, [1000 * ms for ms in timing.samples], Unit.MICROSECONDS, parameters)


BENCHMARK = Benchmark("opus", "Opus, one packet", run)
