"""Payloads and the names of their bytes; the sound is untouched by what rides along."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from protocol.opus_padding import split_padding
from protocol.style_block import StyleBlock
from sender.packetizer import silent_packet, speech_packet
from talkface_core.sound.opus import OpusDecoder, OpusEncoder


def split(payload: bytes) -> tuple[bytes, StyleBlock | None]:
    packet, data = split_padding(payload)
    return packet.data, StyleBlock.from_bytes(data) if data else None


def opus_packets(speech: Callable[..., Any], packet_ms: int, bitrate_bps: int = 8000) -> list[bytes]:
    pcm = speech(1.5, start_s=0.0).with_noise(-60.0)
    with OpusEncoder(bitrate_bps, packet_ms) as encoder:
        step = encoder.samples_per_packet
        return [encoder.encode(pcm[i : i + step]) for i in range(0, len(pcm) - step + 1, step)]


def test_plain_packet_is_the_opus_packet(speech: Callable[..., Any]) -> None:
    opus = opus_packets(speech, 60)[5]
    packet = speech_packet(opus, 2880, 2880)
    assert packet.payload == opus
    assert (packet.cost.opus_bytes, packet.cost.style_bytes, packet.cost.redundancy_bytes) == (len(opus), 0, 0)
    assert packet.cost.is_talking


def test_style_costs_four_bytes_beside_its_payload(speech: Callable[..., Any]) -> None:
    opus = opus_packets(speech, 60)[5]
    packet = speech_packet(opus, 0, 2880, style=b"twelve bytes")
    assert packet.cost.style_bytes == 12 + 4
    assert split(packet.payload) == (opus, StyleBlock(style=b"twelve bytes"))


def test_redundancy_is_counted_apart_from_style(speech: Callable[..., Any]) -> None:
    packets = opus_packets(speech, 60)
    packet = speech_packet(packets[6], 0, 2880, style=b"style", previous=packets[5])
    assert split(packet.payload) == (packets[6], StyleBlock(style=b"style", redundancy=packets[5]))
    cost = packet.cost
    assert cost.opus_bytes + cost.style_bytes + cost.redundancy_bytes == len(packet.payload)
    assert cost.redundancy_bytes == len(packets[5])
    alone = speech_packet(packets[6], 0, 2880, previous=packets[5])
    assert alone.cost.style_bytes == 0
    assert alone.cost.redundancy_bytes == len(packets[5]) + 4


@pytest.mark.parametrize("packet_ms", [20, 40, 60, 80, 100, 120])
@pytest.mark.parametrize("bitrate_bps", [6000, 12_000])
def test_sound_with_and_without_our_padding_is_identical(
    speech: Callable[..., Any], packet_ms: int, bitrate_bps: int
) -> None:
    plain = opus_packets(speech, packet_ms, bitrate_bps)
    rng = np.random.default_rng(packet_ms)
    previous = b""
    with OpusDecoder() as reference, OpusDecoder() as decoder:
        for opus in plain:
            padded = speech_packet(
                opus, 0, packet_ms * 48, style=rng.bytes(int(rng.integers(0, 30))), previous=previous
            )
            np.testing.assert_array_equal(reference.decode(opus), decoder.decode(padded.payload))
            previous = opus


def test_a_previous_packet_that_does_not_fit_is_left_out(speech: Callable[..., Any]) -> None:
    opus = opus_packets(speech, 60)[5]
    packet = speech_packet(opus, 0, 2880, style=b"s", previous=bytes(601))
    assert packet.cost.redundancy_bytes == 0
    assert split(packet.payload) == (opus, StyleBlock(style=b"s"))


def test_comfort_noise_is_one_byte_and_decodes(speech: Callable[..., Any]) -> None:
    opus = opus_packets(speech, 60)[5]
    packet = silent_packet(opus[0], 100, 2880)
    assert packet.payload == bytes([opus[0] & ~3])
    assert not packet.cost.is_talking
    with OpusDecoder() as decoder:
        decoder.decode(opus)
        assert decoder.decode(packet.payload).shape == (2880,)


def test_style_in_silence_rides_in_an_empty_packet(speech: Callable[..., Any]) -> None:
    toc = opus_packets(speech, 60)[5][0]
    packet = silent_packet(toc, 100, 2880, style=b"asleep")
    assert split(packet.payload) == (bytes([toc & ~3]), StyleBlock(style=b"asleep"))
    assert (packet.cost.opus_bytes, packet.cost.style_bytes) == (1, len(packet.payload) - 1)
