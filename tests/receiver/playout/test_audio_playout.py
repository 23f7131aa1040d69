"""Playout in simulated time: loss, bursts, jitter, clocks, pauses, hostile streams. Real Opus throughout."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from protocol.audio_payload import parse_audio_payload
from protocol.opus_padding import comfort_noise_packet, empty_packet
from receiver.playout.audio_playout import ChunkKind

CLEAN_MS = 40.0


def kinds_ms(run: Any) -> dict[ChunkKind, float]:
    total: Counter[ChunkKind] = Counter()
    for chunk in run.chunks:
        total[chunk.kind] += chunk.pcm.shape[0]
    return {kind: samples / 48 for kind, samples in total.items()}


def latencies_ms(run: Any, stream: Any) -> list[float]:
    """Packet sent to sound ready, the network's 20 ms left out. Needs a stream whose first packet arrives."""
    first = min(run.ready_us)
    return [(ready - stream.sent_us(sequence - first)) / 1000 - 20 for sequence, ready in run.ready_us.items()]


def random_loss(share: float, seed: int = 1) -> Callable[[int], bool]:
    rng = random.Random(seed)
    return lambda index: index > 0 and rng.random() < share


def test_clean_path_is_ready_40_ms_after_arrival_and_bit_exact(
    kit: ModuleType, bench: Any, speech_packets: list[bytes]
) -> None:
    stream = kit.Stream(speech_packets)
    run = bench.run(stream.arrivals(150))
    assert max(latencies_ms(run, stream)) == pytest.approx(CLEAN_MS, abs=0.1)
    decoder = kit.OpusDecoder(48_000)
    expected = np.concatenate([decoder.decode(packet) for packet in speech_packets[:150]])
    delay = 8  # taps of the fine resampler
    np.testing.assert_array_equal(run.pcm()[delay : expected.shape[0]], expected[:-delay])
    assert bench.playout.losses.lost == 0


@pytest.mark.parametrize("packet_ms", [20, 40, 60, 100, 120])
def test_any_packet_time_plays_without_a_hole(kit: ModuleType, bench: Any, packet_ms: int) -> None:
    stream = kit.Stream(kit.encode(kit.make_speech(3.0), packet_ms=packet_ms, bitrate_bps=16_000), packet_ms=packet_ms)
    count = len(stream.opus)
    run = bench.run(stream.arrivals(count))
    assert kinds_ms(run)[ChunkKind.RECEIVED] == pytest.approx(count * packet_ms, abs=1)
    assert max(latencies_ms(run, stream)) == pytest.approx(CLEAN_MS, abs=0.1)


def test_change_of_packet_time_within_the_call_costs_no_sound(kit: ModuleType, bench: Any) -> None:
    """Rate control goes from 60 to 120 ms and back: longer packets are sent later after their start."""
    speech = kit.make_speech(6.0)
    short, long = kit.encode(speech), kit.encode(speech, packet_ms=120)
    arrivals, sequence, ticks = [], 0, 0
    for opus, packet_ms in [(p, 60) for p in short] + [(p, 120) for p in long] + [(p, 60) for p in short]:
        at_us = kit.START_US + round((ticks + packet_ms * 48) * kit.TICK_US)
        arrivals.append(kit.Arrival(at_us, kit.received(sequence, ticks, opus, 1, at_us)))
        sequence, ticks = sequence + 1, ticks + packet_ms * 48
    run = bench.run(arrivals)
    assert kinds_ms(run).get(ChunkKind.CONCEALED, 0.0) < 500
    assert bench.playout.delay_ms == pytest.approx(CLEAN_MS, abs=12)
    assert bench.playout.stalls.longest_ms == 0


def test_one_loss_adds_no_delay(kit: ModuleType, bench: Any, speech_packets: list[bytes]) -> None:
    stream = kit.Stream(speech_packets)
    run = bench.run(stream.arrivals(150, lost=lambda index: index == 50))
    assert max(latencies_ms(run, stream)) == pytest.approx(CLEAN_MS, abs=0.1)
    assert bench.playout.losses.lost == 1
    concealed = [chunk for chunk in run.chunks if chunk.kind is ChunkKind.CONCEALED]
    assert sum(chunk.pcm.shape[0] for chunk in concealed[:3]) == 2880  # then the end of the stream
    assert np.abs(concealed[0].pcm).max() > 0


@pytest.mark.parametrize("share", [0.05, 0.10, 0.20])
@pytest.mark.parametrize("has_redundancy", [False, True])
def test_random_loss_never_stalls_and_leaves_no_delay_behind(
    kit: ModuleType, bench: Any, speech_packets: list[bytes], share: float, has_redundancy: bool
) -> None:
    stream = kit.Stream(speech_packets, has_redundancy=has_redundancy)
    lossy = random_loss(share)
    run = bench.run(stream.arrivals(700, lost=lambda index: index < 500 and lossy(index)))
    assert bench.playout.stalls.longest_ms <= 120
    assert bench.playout.losses.lost == pytest.approx(500 * share, rel=0.3)
    over_us = stream.sent_us(500) + 5_000_000
    after = [delay for now_us, delay in run.delays_ms if now_us > over_us]
    assert max(after) == pytest.approx(CLEAN_MS, abs=1.0)
    if has_redundancy:
        assert bench.playout.counters.repaired >= 0.7 * bench.playout.losses.lost
        assert max(delay for _, delay in run.delays_ms) <= 60 + 40


def test_bursts_of_180_ms_stay_under_240_ms_of_stall(kit: ModuleType, bench: Any, speech_packets: list[bytes]) -> None:
    stream = kit.Stream(speech_packets)
    bench.run(stream.arrivals(600, lost=lambda index: index % 30 in (10, 11, 12)))
    assert bench.playout.losses.lost == 60
    assert bench.playout.stalls.longest_ms == 60  # 120 ms are concealed


def test_repair_is_exact_when_the_delay_has_grown(kit: ModuleType, bench: Any, speech_packets: list[bytes]) -> None:
    stream = kit.Stream(speech_packets, has_redundancy=True)
    run = bench.run(stream.arrivals(400, lost=lambda index: index % 10 == 5))
    late_half = [chunk for chunk in run.chunks[len(run.chunks) // 2 :] if chunk.start_samples < 390 * 2880]
    kinds = Counter(chunk.kind for chunk in late_half)
    assert kinds[ChunkKind.REPAIRED] >= 18
    assert kinds[ChunkKind.CONCEALED] == 0


def test_jitter_is_absorbed_and_forgotten(kit: ModuleType, bench: Any, speech_packets: list[bytes]) -> None:
    stream = kit.Stream(speech_packets)
    rng = random.Random(2)
    run = bench.run(stream.arrivals(700, delay_ms=lambda index: 20 + (rng.uniform(0, 80) if index < 500 else 0)))
    settled = [chunk for chunk in run.chunks if 100 * 2880 < chunk.start_samples < 690 * 2880]
    noise = sum(chunk.pcm.shape[0] for chunk in settled if chunk.kind is not ChunkKind.RECEIVED)
    assert noise / 48 < 200
    assert bench.playout.losses.lost == 0
    over_us = stream.sent_us(500) + 5_000_000
    assert max(d for now_us, d in run.delays_ms if now_us > over_us) == pytest.approx(CLEAN_MS, abs=3.5)


def test_late_packet_is_heard_from_where_its_concealment_ended(
    kit: ModuleType, bench: Any, speech_packets: list[bytes]
) -> None:
    stream = kit.Stream(speech_packets)
    run = bench.run(stream.arrivals(100, delay_ms=lambda index: 20 + (65 if index == 50 else 0)))
    around = [chunk for chunk in run.chunks if 50 * 2880 <= chunk.start_samples < 52 * 2880]
    assert [chunk.kind for chunk in around] == [ChunkKind.CONCEALED, ChunkKind.CONCEALED] + [ChunkKind.RECEIVED] * 2
    assert [chunk.pcm.shape[0] for chunk in around] == [960, 960, 960, 2880]
    assert bench.playout.delay_ms == pytest.approx(CLEAN_MS, abs=0.1)


def test_misordered_and_doubled_packets_change_nothing(
    kit: ModuleType, bench: Any, speech_packets: list[bytes]
) -> None:
    stream = kit.Stream(speech_packets)
    arrivals = stream.arrivals(100, delay_ms=lambda index: 20 + (70 if index % 10 == 5 else 0))
    for arrival in arrivals[::7]:
        at_us = arrival.at_us + 10_000
        arrivals.append(kit.Arrival(at_us, replace(arrival.packet, arrival_time_us=at_us)))
    bench.run(sorted(arrivals, key=lambda arrival: arrival.at_us))
    assert bench.playout.losses.lost == 0
    assert bench.playout.buffer.counters.duplicates == 15


@pytest.mark.parametrize("step_ms", [100.0, 1_500.0, -100.0, -1_500.0])
def test_a_path_that_gets_slower_or_faster_is_followed(
    kit: ModuleType, bench: Any, speech_packets: list[bytes], step_ms: float
) -> None:
    stream = kit.Stream(speech_packets)
    base_ms = 20 + max(0.0, -step_ms)
    run = bench.run(stream.arrivals(500, delay_ms=lambda index: base_ms + (step_ms if index >= 200 else 0)))
    assert bench.playout.delay_ms == pytest.approx(CLEAN_MS, abs=12)
    assert set(list(run.ready_us)[-25:]) == {min(run.ready_us) + index for index in range(475, 500)}


def test_packets_that_waited_while_the_process_stood_still_do_not_end_playout(
    kit: ModuleType, bench: Any, speech_packets: list[bytes]
) -> None:
    """A busy machine: playout runs on first, then a second of packets comes out of the socket, all of them late."""
    stream = kit.Stream(speech_packets)
    arrivals = stream.arrivals(100)
    bench.run(arrivals[:50])
    bench.playout.advance(arrivals[66].at_us)
    for arrival in arrivals[50:58]:
        bench.playout.add(bench.intake.accept(arrival.packet))
    assert bench.playout.counters.resyncs == 1
    bench.playout.advance(arrivals[66].at_us + 100_000)
    bench.now_us = arrivals[67].at_us
    run = bench.run(arrivals[67:])
    assert set(list(run.ready_us)[-25:]) == {min(run.ready_us) + index for index in range(75, 100)}


def test_blackout_is_filled_with_noise_and_left_at_once(
    kit: ModuleType, bench: Any, speech_packets: list[bytes]
) -> None:
    stream = kit.Stream(speech_packets)
    run = bench.run(stream.arrivals(400, lost=lambda index: 100 <= index < 267))
    times = kinds_ms(run)
    assert times[ChunkKind.OUTAGE] == pytest.approx(167 * 60 - 120, abs=200)
    assert bench.playout.stalls.longest_ms == pytest.approx(167 * 60 - 120, abs=60)
    first_back = min(sequence for sequence in run.ready_us if sequence >= min(run.ready_us) + 267)
    assert latencies_ms(run, stream)[list(run.ready_us).index(first_back)] == pytest.approx(CLEAN_MS, abs=1)
    assert sum(times.values()) == pytest.approx((run.chunks[-1].start_samples + run.chunks[-1].pcm.shape[0]) / 48)


def gated(kit: ModuleType, speech_packets: list[bytes], *, has_style: bool = False) -> list[Any]:
    """0.6 s of speech and 2.4 s of silence in turn, as our sender's gate makes them: one byte each 400 ms."""
    arrivals = []
    for turn in range(6):
        start = turn * 50
        for index in range(start, start + 10):
            arrivals.append((index, speech_packets[index % 100]))
        silence = empty_packet(speech_packets[0][0], b"\x00\x10") if has_style else None
        for index in range(start + 10, start + 50, 7):
            if silence is not None and index > start + 10:
                arrivals.append((index - 1, silence))
            arrivals.append((index, comfort_noise_packet(speech_packets[0][0])))
    result = []
    for sequence, (index, payload) in enumerate(arrivals):
        at_us = kit.START_US + round((index + 1) * 60_000) + 20_000
        result.append(kit.Arrival(at_us, kit.received(sequence, index * 2880, payload, 1, at_us)))
    return result


@pytest.mark.parametrize("has_style", [False, True])
def test_silence_is_comfort_noise_not_loss(
    kit: ModuleType, bench: Any, speech_packets: list[bytes], has_style: bool
) -> None:
    run = bench.run(gated(kit, speech_packets, has_style=has_style))
    times = kinds_ms(run)
    assert times[ChunkKind.RECEIVED] == pytest.approx(6 * 600, abs=1)
    assert ChunkKind.OUTAGE not in times
    assert times.get(ChunkKind.CONCEALED, 0.0) == 0
    assert times[ChunkKind.COMFORT_NOISE] > 6 * 2_000
    assert bench.playout.losses.lost == 0
    assert bench.playout.delay_ms == pytest.approx(CLEAN_MS, abs=12)


def test_browser_that_sends_nothing_in_a_pause(kit: ModuleType, bench: Any, speech_packets: list[bytes]) -> None:
    """Consecutive sequence numbers over 1.2 s of nothing (Chromium with DTX)."""
    arrivals = [arrival for arrival in gated(kit, speech_packets) if len(arrival.packet.content.opus.data) > 1]
    numbered = [
        kit.Arrival(arrival.at_us, replace(arrival.packet, sequence_number=index))
        for index, arrival in enumerate(arrivals)
    ]
    bench.run(numbered)
    assert bench.playout.losses.lost == 0
    assert bench.playout.stalls.longest_ms == 0


def test_lost_end_of_speech_is_no_stall(kit: ModuleType, bench: Any, speech_packets: list[bytes]) -> None:
    """The packet that says "silence" is lost: nothing comes for 800 ms, and only one packet is missing."""
    arrivals = gated(kit, speech_packets)
    del arrivals[10]
    bench.run(arrivals)
    assert bench.playout.losses.lost == 1
    assert bench.playout.stalls.longest_ms == 0


def test_blackout_in_a_pause_counts_as_a_stall(kit: ModuleType, bench: Any, speech_packets: list[bytes]) -> None:
    arrivals = gated(kit, speech_packets)
    cut = [arrival for arrival in arrivals if not 15 < (arrival.at_us - kit.START_US) / 60_000 < 250]
    bench.run(cut)
    assert 9_000 < bench.playout.counters.outage_ticks / 48 < 14_000
    assert bench.playout.stalls.longest_ms > 1_000


@pytest.mark.parametrize("ppm", [-50.0, 100.0])
def test_clock_difference_is_corrected_without_a_hole(
    kit: ModuleType, bench: Any, speech_packets: list[bytes], ppm: float
) -> None:
    """Two and a half minutes with jitter; left alone, 100 ppm would be 15 ms by then."""
    stream = kit.Stream(speech_packets, skew_ppm=ppm)
    rng = random.Random(3)
    run = bench.run(stream.arrivals(2_500, delay_ms=lambda index: 20 + rng.uniform(0, 5)), step_us=20_000)
    assert bench.playout.delay.skew.ppm == pytest.approx(ppm, abs=10)
    delays = [delay for now_us, delay in run.delays_ms if now_us > kit.START_US + 90_000_000]
    assert max(abs(delay - CLEAN_MS) for delay in delays) < 8
    times = kinds_ms(run)
    assert times[ChunkKind.RECEIVED] == pytest.approx(150_000 * (1 - ppm * 1e-6), abs=12)
    assert bench.playout.buffer.counters.late == 0


def test_undecodable_packet_is_counted_and_concealed(kit: ModuleType, bench: Any, speech_packets: list[bytes]) -> None:
    stream = kit.Stream(speech_packets)
    arrivals = stream.arrivals(60)
    rng = random.Random(4)
    for arrival in arrivals[10:50]:
        body = bytes(rng.randrange(256) for _ in range(60))
        arrival.packet = replace(arrival.packet, content=parse_audio_payload(bytes([rng.randrange(256)]) + body))
    run = bench.run(arrivals)
    assert bench.intake.counters.malformed + len(run.ready_us) >= 40
    assert sum(kinds_ms(run).values()) >= 60 * 60 - 60
    assert set(chunk.kind for chunk in run.chunks[-8:]) & {ChunkKind.RECEIVED}


def test_hostile_stream_stays_bounded(kit: ModuleType, bench: Any, speech_packets: list[bytes]) -> None:
    """Random timestamps, sequence numbers and sources at 1000 packets/s: nothing raises, nothing grows."""
    rng = random.Random(5)
    arrivals = []
    for index in range(5_000):
        at_us = kit.START_US + index * 1_000
        packet = kit.received(
            rng.choice([index & 0xFFFF, rng.randrange(65_536)]),
            rng.choice([index * 48, rng.randrange(2**32)]) & 0xFFFFFFFF,
            rng.choice(speech_packets),
            rng.choice([1, 1, 1, 2]),
            at_us,
        )
        arrivals.append(kit.Arrival(at_us, packet))
    run = bench.run(arrivals)
    assert len(bench.playout.buffer) <= 320
    assert run.chunks[-1].start_samples <= 6 * 48_000
    starts = [chunk.start_samples for chunk in run.chunks]
    assert starts == sorted(starts)


def test_sleeping_machine_does_not_fill_hours_with_noise(
    kit: ModuleType, bench: Any, speech_packets: list[bytes]
) -> None:
    bench.run(kit.Stream(speech_packets).arrivals(20))
    before = bench.playout.timeline.num_samples
    chunks = bench.playout.advance(bench.now_us + 3_600_000_000)
    assert bench.playout.timeline.num_samples - before < 48_000
    assert chunks


@pytest.mark.parametrize("seed", range(5))
def test_any_permutation_and_loss_keeps_time_moving_and_latency_bounded(
    kit: ModuleType, bench: Any, speech_packets: list[bytes], seed: int
) -> None:
    rng = random.Random(seed)
    stream = kit.Stream(speech_packets, has_redundancy=bool(seed % 2))
    arrivals = stream.arrivals(
        200, lost=lambda index: index > 0 and rng.random() < 0.3, delay_ms=lambda index: 20 + rng.uniform(0, 300)
    )
    run = bench.run(arrivals)
    position = 0
    for chunk in run.chunks:
        assert chunk.start_samples == position
        position += chunk.pcm.shape[0]
    sequences = [chunk.packet.sequence for chunk in run.chunks if chunk.packet is not None]
    assert sequences == sorted(set(sequences))
    assert max(delay for _, delay in run.delays_ms) < 600
