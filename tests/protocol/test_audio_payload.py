"""The payload of an RTP packet, taken apart once: what each reader of it needs, and every byte accounted for."""

from __future__ import annotations

import random

import pytest

from protocol.audio_payload import MAX_RECEIVED_BYTES, AudioPayload, MalformedPayload, parse_audio_payload
from protocol.opus_padding import PlainOpus, add_padding, comfort_noise_packet, empty_packet
from protocol.style_block import StyleBlock

TOC = 0x58  # SILK wideband, 60 ms, mono
SPEECH = bytes([TOC]) + bytes(range(1, 58))
PREVIOUS = bytes([TOC]) + bytes(range(101, 140))


def parse(payload: bytes) -> AudioPayload:
    content = parse_audio_payload(payload)
    assert isinstance(content, AudioPayload)
    return content


def test_plain_sound() -> None:
    assert parse(SPEECH) == AudioPayload(PlainOpus(SPEECH, 2880, is_empty=False))


@pytest.mark.parametrize("style", [b"", b"x", b"twelve bytes", b"s" * 40])
@pytest.mark.parametrize("redundancy", [b"", PREVIOUS])
def test_bytes_of_all_components_add_up(style: bytes, redundancy: bytes) -> None:
    payload = add_padding(SPEECH, StyleBlock(style=style, redundancy=redundancy).to_bytes())
    content = parse(payload)
    assert content.opus == PlainOpus(SPEECH, 2880, is_empty=False)
    assert content.style == style
    assert content.redundancy == (PlainOpus(PREVIOUS, 2880, is_empty=False) if redundancy else None)
    assert content.redundancy_bytes == len(redundancy)
    assert len(content.opus.data) + content.style_bytes + content.redundancy_bytes == len(payload)


def test_silence_with_and_without_style() -> None:
    assert parse(comfort_noise_packet(TOC)) == AudioPayload(PlainOpus(b"\x58", 2880, is_empty=True))
    content = parse(empty_packet(TOC, StyleBlock(style=b"asleep").to_bytes()))
    assert (content.opus, content.style) == (PlainOpus(b"\x58", 2880, is_empty=True), b"asleep")
    assert content.style_bytes == 2 + 2 + len(b"asleep")


@pytest.mark.parametrize("redundancy", [b"\x4b", b"\x58", b"\xff\xff\xff"])
def test_redundancy_that_holds_no_sound_costs_its_bytes(redundancy: bytes) -> None:
    content = parse(add_padding(SPEECH, StyleBlock(style=b"x", redundancy=redundancy).to_bytes()))
    assert content.redundancy is None
    assert content.redundancy_bytes == len(redundancy)


def test_damaged_block_costs_only_the_style() -> None:
    content = parse(add_padding(SPEECH, b"\x00\x1fab"))
    assert content == AudioPayload(PlainOpus(SPEECH, 2880, is_empty=False), is_block_damaged=True)


def test_padding_of_others_is_not_ours() -> None:
    assert parse(add_padding(SPEECH, b"\x07whatever")) == AudioPayload(PlainOpus(SPEECH, 2880, is_empty=False))


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "opus packet toc missing"),
        (b"\x03\x00", "opus packet frame count 0"),
        (bytes(MAX_RECEIVED_BYTES + 1), "rtp payload of 1501 bytes is over 1500"),
    ],
)
def test_malformed_payload_says_why(payload: bytes, reason: str) -> None:
    content = parse_audio_payload(payload)
    assert isinstance(content, MalformedPayload)
    assert reason in content.reason


def test_no_bytes_raise() -> None:
    rng = random.Random(3)
    whole = add_padding(SPEECH, StyleBlock(style=b"style", redundancy=PREVIOUS).to_bytes())
    num_malformed = 0
    for _ in range(10_000):
        payload = bytearray(whole if rng.random() < 0.5 else rng.randbytes(rng.randrange(60)))
        for _ in range(rng.randrange(4)):
            if payload:
                payload[rng.randrange(len(payload))] = rng.randrange(256)
        content = parse_audio_payload(bytes(payload))
        if isinstance(content, MalformedPayload):
            num_malformed += 1
        else:
            assert 120 <= content.opus.duration_ticks <= 5760
            assert content.redundancy is None or not content.redundancy.is_empty
    assert 1_000 < num_malformed < 9_000
