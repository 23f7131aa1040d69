"""When style goes out: every n-th packet and when the face moves quickly, absolute each second, never over the budget,
always what was encoded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from protocol.presets import get_preset
from sender.style_scheduler import StyleScheduler

VALUES = np.linspace(-1, 1, 16).astype(np.float32)
PACKET = 2880


class Codec:
    """Payloads of a fixed size; keeps what was asked."""

    def __init__(self, size: int = 8) -> None:
        self.size = size
        self.calls: list[tuple[bool, bool]] = []

    def encode(self, values: NDArray[np.float32], *, refresh: bool, with_lips: bool) -> bytes:
        self.calls.append((refresh, with_lips))
        return bytes([refresh]) * self.size


def run(scheduler: StyleScheduler, num_packets: int, start: int = 0) -> list[bytes]:
    return [scheduler.talking_payload(VALUES, (start + i + 1) * PACKET) for i in range(num_packets)]


def test_every_second_packet_in_the_default_preset() -> None:
    payloads = run(StyleScheduler(Codec(), get_preset("default")), 10)
    assert [bool(p) for p in payloads] == [True, False] * 5


def moving(scheduler: StyleScheduler, values: list[NDArray[np.float32]], start: int = 0) -> list[bool]:
    return [bool(scheduler.talking_payload(v, (start + i + 1) * PACKET)) for i, v in enumerate(values)]


def test_a_quick_movement_is_sent_at_once() -> None:
    scheduler = StyleScheduler(Codec(4), get_preset("default"))
    moving(scheduler, [VALUES] * 10)
    blink = VALUES + np.float32(1)
    assert moving(scheduler, [VALUES, blink, VALUES, VALUES], 10) == [True, True, True, False]


def test_a_slow_movement_waits_for_its_turn() -> None:
    scheduler = StyleScheduler(Codec(4), get_preset("default"))
    values = [VALUES + np.float32(0.2 * i) for i in range(20)]
    assert moving(scheduler, values) == [True, False] * 10


def test_without_lips_their_movement_is_none() -> None:
    scheduler = StyleScheduler(Codec(4), get_preset("default"))
    moving(scheduler, [VALUES] * 10)
    scheduler.with_lips = False
    lips = VALUES.copy()
    lips[12:] += 3
    assert moving(scheduler, [VALUES, lips], 10) == [True, False]


def test_restless_style_takes_no_block_that_is_due() -> None:
    """Blocks of 8 bytes each 120 ms cost 0.8 of 1.0 kbit/s: what is left goes to movements, and due ones all go out."""
    scheduler = StyleScheduler(Codec(8), get_preset("default"))
    values = [VALUES + np.float32(i % 2) for i in range(1000)]
    sent = moving(scheduler, values)
    assert all(sent[::2])
    between = sum(sent[1::2]) / (1000 * 0.06)
    assert between == pytest.approx((1000 - 800) / 96, rel=0.15)
    assert scheduler.totals.num_over_budget == 0


def test_absolute_each_second_and_on_request() -> None:
    codec = Codec()
    scheduler = StyleScheduler(codec, replace(get_preset("default"), packets_per_style=1, style_limit_bps=10_000))
    payloads = run(scheduler, 52)
    absolute = [i for i, payload in enumerate(payloads) if payload[0] == 1]
    assert absolute == [0, 17, 34, 51]
    scheduler.request_refresh()
    assert run(scheduler, 1, 52)[0][0] == 1


@pytest.mark.parametrize("size", [4, 11, 30, 200])
def test_the_budget_holds_on_average_and_nothing_encoded_is_thrown_away(size: int) -> None:
    preset = get_preset("good")
    codec = Codec(size)
    scheduler = StyleScheduler(codec, preset)
    num_packets = 2000
    payloads = [p for p in run(scheduler, num_packets) if p]
    assert len(payloads) == len(codec.calls) == scheduler.totals.num_blocks
    bits = sum(8 * (len(p) + (4 if len(p) <= 15 else 5)) for p in payloads)
    seconds = num_packets * PACKET / 48_000
    assert bits <= preset.style_limit_bps * seconds + 8 * (size + 5)
    if size == 200:
        assert bits >= 0.95 * preset.style_limit_bps * seconds
        assert scheduler.totals.num_over_budget > 0


@pytest.mark.parametrize(("excess_bps", "share"), [(-500, 1.0), (0, 1.0), (300, 0.75), (5000, 0.5)])
def test_a_costly_voice_takes_from_the_style_but_not_more_than_half(excess_bps: int, share: float) -> None:
    preset = get_preset("good")
    scheduler = StyleScheduler(Codec(40), preset)
    seconds = 60
    packet_bytes = (preset.opus_kbps * 1000 + excess_bps) * 0.06 / 8
    bits = sound_bits = 0
    for i in range(seconds * 1000 // 60):
        opus_bytes = round(packet_bytes * (i + 1)) - round(packet_bytes * i)
        scheduler.note_sound(opus_bytes, PACKET)
        payload = scheduler.talking_payload(VALUES, (i + 1) * PACKET)
        bits += 8 * (len(payload) + 5) if payload else 0
        sound_bits += 8 * opus_bytes
    assert bits / seconds == pytest.approx(share * preset.style_limit_bps, rel=0.05)
    if excess_bps <= 300:
        assert (bits + sound_bits) / seconds <= preset.opus_kbps * 1000 + preset.style_limit_bps + 20


def test_without_a_face_nothing_is_sent() -> None:
    codec = Codec()
    scheduler = StyleScheduler(codec, get_preset("default"))
    assert scheduler.talking_payload(None, PACKET) == b""
    assert scheduler.silent_payload(None, 2 * PACKET) == b""
    assert not codec.calls


def test_style_in_silence_is_absolute() -> None:
    codec = Codec()
    scheduler = StyleScheduler(codec, get_preset("default"))
    run(scheduler, 1)
    assert scheduler.silent_payload(VALUES, 5 * PACKET)[0] == 1


def test_lips_go_when_told() -> None:
    codec = Codec()
    scheduler = StyleScheduler(codec, get_preset("default"))
    run(scheduler, 2)
    scheduler.with_lips = False
    run(scheduler, 2, 2)
    assert [lips for _, lips in codec.calls] == [True, False]


def test_a_codec_gone_wrong_is_noticed() -> None:
    with pytest.raises(ValueError, match="256 bytes"):
        run(StyleScheduler(Codec(256), get_preset("default")), 1)


def test_a_new_preset_begins_with_an_absolute_payload() -> None:
    codec = Codec()
    scheduler = StyleScheduler(codec, get_preset("default"))
    run(scheduler, 2)
    scheduler.configure(get_preset("minimum"))
    assert scheduler.talking_payload(VALUES, 4 * PACKET)[0] == 1
