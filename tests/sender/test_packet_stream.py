"""Sound to packets: rhythm, look-back, redundancy, style, timestamps that run through silence."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from protocol.opus_padding import split_padding
from protocol.presets import Preset, get_preset
from protocol.style_block import StyleBlock
from sender.packet_stream import PacketStream
from sender.packetizer import OutgoingPacket
from sender.style_scheduler import StyleScheduler
from talkface_core.sound.opus import OpusDecoder, OpusEncoder

VALUES = np.linspace(-1, 1, 16).astype(np.float32)


def make_stream(preset: Preset, codec: Any = None) -> PacketStream:
    scheduler = None if codec is None else StyleScheduler(codec, preset)
    return PacketStream(OpusEncoder(preset.bitrate_bps, preset.packet_ms), preset, scheduler)


def run(
    stream: PacketStream, pcm: NDArray[np.int16], values: NDArray[np.float32] | None = None
) -> list[OutgoingPacket]:
    packets, at = [], 0
    while at + stream.samples_per_packet <= len(pcm):
        step = stream.samples_per_packet
        packets += stream.process(pcm[at : at + step], values)
        at += step
    return packets


def block_of(packet: OutgoingPacket) -> StyleBlock:
    _, data = split_padding(packet.payload)
    return (StyleBlock.from_bytes(data) if data else None) or StyleBlock()


@pytest.mark.parametrize("name", ["minimum", "default", "good", "robust"])
def test_timestamps_grow_and_sum_of_costs_is_the_payload(
    speech: Callable[..., Any], style_codec: Any, name: str
) -> None:
    stream = make_stream(get_preset(name), style_codec)
    packets = run(stream, speech(10.0, 1).with_noise(-55.0), VALUES)
    times = [packet.timestamp_ticks for packet in packets]
    assert all(a < b for a, b in itertools.pairwise(times))
    assert all(time % get_preset(name).packet_ticks == 0 for time in times)
    for packet in packets:
        cost = packet.cost
        assert cost.opus_bytes + cost.style_bytes + cost.redundancy_bytes == len(packet.payload)
        if cost.is_talking:
            assert split_padding(packet.payload)[0].duration_ticks == cost.duration_ticks
        else:
            assert split_padding(packet.payload)[0].is_empty
    totals = stream.totals
    assert totals.num_packets == len(packets)
    assert totals.talk_ticks == sum(p.cost.duration_ticks for p in packets if p.cost.is_talking)
    assert totals.total_ticks == stream.ticks
    assert 0.4 * totals.total_ticks < totals.talk_ticks < 0.95 * totals.total_ticks


def test_silence_keeps_the_rhythm_of_comfort_noise() -> None:
    stream = make_stream(get_preset("default"))
    packets = run(stream, np.zeros(48_000 * 6, np.int16))
    silent = [packet for packet in packets if not packet.cost.is_talking]
    assert all(len(packet.payload) == 1 for packet in silent)
    gaps = np.diff([packet.timestamp_ticks for packet in silent]) / 48
    assert len(gaps) >= 10
    assert set(gaps) == {420.0}
    assert stream.ticks == 6 * 48_000


def test_a_word_after_silence_brings_the_packet_before_it() -> None:
    rng = np.random.default_rng(3)
    pcm = np.zeros(48_000 * 4, np.int16)
    onset = 2880 * 40 + 2000
    pcm[onset:] = rng.normal(size=len(pcm) - onset) * 3000
    stream = make_stream(get_preset("default"))
    packets = run(stream, pcm)
    speech_times = [p.timestamp_ticks // 2880 for p in packets if p.cost.is_talking and p.timestamp_ticks > 48_000]
    assert speech_times[:3] == [39, 40, 41]
    assert stream.totals.num_lookback_packets == 1


def test_no_look_back_over_a_slot_that_was_used() -> None:
    stream = make_stream(get_preset("default"))
    noise = (np.random.default_rng(4).normal(size=2880) * 3000).astype(np.int16)
    quiet = np.zeros(2880, np.int16)
    packets: list[OutgoingPacket] = []
    while not packets or len(packets[-1].payload) != 1:  # until a comfort-noise packet has just gone out
        packets = [*packets, *stream.process(quiet, None)]
    after = stream.process(noise, None)
    assert [p.timestamp_ticks for p in after] == [packets[-1].timestamp_ticks + 2880]


def test_redundancy_is_the_packet_before(speech: Callable[..., Any]) -> None:
    stream = make_stream(get_preset("robust"))
    packets = run(stream, speech(8.0, 2).with_noise(-55.0))
    bare = {packet.timestamp_ticks: split_padding(packet.payload)[0].data for packet in packets}
    carried = 0
    for packet in packets:
        redundancy = block_of(packet).redundancy
        if redundancy:
            carried += 1
            assert redundancy == bare[packet.timestamp_ticks - packet.cost.duration_ticks]
            assert packet.cost.is_talking
    assert carried > 0.8 * stream.totals.num_speech_packets


def test_switching_redundancy_and_preset_keeps_the_sound_whole(speech: Callable[..., Any], style_codec: Any) -> None:
    pcm = speech(9.0, 5, start_s=0.0, pause_s=(0.05, 0.1)).with_noise(-55.0)
    stream = make_stream(get_preset("default"), style_codec)
    packets = run(stream, pcm[: 48_000 * 3], VALUES)
    stream.configure(get_preset("minimum"), redundancy=True, with_lips=False)
    later = run(stream, pcm[48_000 * 3 : 48_000 * 6], VALUES)
    stream.configure(get_preset("good"), redundancy=False, with_lips=True)
    last = run(stream, pcm[48_000 * 6 :], VALUES)
    assert later[0].cost.duration_ticks == 5760
    assert any(block_of(packet).redundancy for packet in later)
    assert not any(block_of(packet).redundancy for packet in last)
    style = [block_of(packet).style for packet in later if block_of(packet).style]
    assert all(len(payload) == 13 for payload in style), "12 base values without lips"
    everything = packets + later + last
    for before, after in itertools.pairwise(everything):
        assert after.timestamp_ticks >= before.timestamp_ticks + before.cost.duration_ticks
    with OpusDecoder() as decoder:
        assert sum(len(decoder.decode(p.payload)) for p in everything if p.cost.is_talking) == stream.totals.talk_ticks


def test_style_rides_in_every_second_packet_and_in_silence(speech: Callable[..., Any], style_codec: Any) -> None:
    preset = replace(get_preset("default"), style_limit_bps=10_000)
    talk = speech(10.0, 1, pause_s=(2.5, 3.0))
    packets = run(make_stream(preset, style_codec), talk.with_noise(-60.0), VALUES)
    talking = [bool(block_of(p).style) for p in packets if p.cost.is_talking]
    assert 0.45 < np.mean(talking) < 0.55
    silent = [p for p in packets if not p.cost.is_talking and block_of(p).style]
    assert silent
    for packet in silent:
        assert block_of(packet).style[0] == 1, "style in silence is absolute"
    times = {p.timestamp_ticks: p for p in packets}
    followers = [times.get(p.timestamp_ticks + 2880) for p in silent]
    assert all(f is not None and (len(f.payload) == 1 or f.cost.is_talking) for f in followers)


def test_without_style_no_packet_is_padded(speech: Callable[..., Any], style_codec: Any) -> None:
    for stream, values in (
        (make_stream(get_preset("default")), VALUES),
        (make_stream(get_preset("default"), style_codec), None),
    ):
        packets = run(stream, speech(4.0, 1).with_noise(-60.0), values)
        assert all(split_padding(packet.payload)[1] == b"" for packet in packets)


def test_half_silence_costs_about_half(speech: Callable[..., Any]) -> None:
    """Opus, RTP and IP of the default preset, counted as bytes on the wire without RTCP and STUN."""
    talk = speech(24.0, 7, pause_s=(1.5, 3.0))
    stream = make_stream(get_preset("default"))
    packets = run(stream, talk.with_noise(-55.0))
    kbps = sum(len(p.payload) + 28 + 12 + 10 for p in packets) * 8 / (stream.ticks / 48)
    voiced = talk.is_voice.mean()
    assert voiced < 0.5
    assert kbps < 9.5
