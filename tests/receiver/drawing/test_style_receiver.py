"""Style payloads out of packets: order, loss, garbage."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from protocol.opus_padding import PlainOpus
from receiver.drawing.style_receiver import MAX_ABSOLUTE_VALUE, StyleReceiver
from receiver.media_packet import MediaPacket
from talkface_core.style.codec import StyleCodecDecoder, StyleCodecEncoder
from talkface_core.style.tables import default_style_tables


def packet(sequence: int, style: bytes = b"", *, is_repair: bool = False) -> MediaPacket:
    return MediaPacket(
        sequence=sequence,
        start_ticks=sequence * 2880,
        opus=PlainOpus(b"", 2880, is_empty=True),
        arrival_us=0,
        style=style,
        is_repair=is_repair,
    )


@pytest.fixture
def decoder(kit: ModuleType) -> Any:
    return kit.ByteStyleDecoder()


def test_values_belong_to_the_end_of_the_packet(kit: ModuleType, decoder: Any) -> None:
    values = np.linspace(-2, 2, 16, dtype=np.float32)
    style = StyleReceiver(decoder).consume(packet(3, kit.style_payload(values)))
    assert style is not None
    assert style.ticks == 4 * 2880
    np.testing.assert_allclose(style.values, values, atol=1 / 32)


def test_decoder_is_told_about_losses_between_payloads(kit: ModuleType, decoder: Any) -> None:
    receiver = StyleReceiver(decoder)
    payload = kit.style_payload(np.zeros(16, np.float32))
    for sequence in (0, 1, 2, 4, 5):  # 3 is lost; 1 and 5 carry no style
        receiver.consume(packet(sequence, payload if sequence in (0, 2, 4) else b""))
    receiver.consume(packet(6, is_repair=True))
    receiver.consume(packet(7, payload))
    assert decoder.contiguous == [False, True, False, False]


def test_packet_behind_a_used_one_is_passed_over(kit: ModuleType, decoder: Any) -> None:
    receiver = StyleReceiver(decoder)
    payload = kit.style_payload(np.zeros(16, np.float32))
    receiver.consume(packet(5, payload))
    assert receiver.consume(packet(4, payload)) is None
    assert receiver.consume(packet(5, payload)) is None
    assert len(decoder.contiguous) == 1


def test_garbage_is_counted_and_breaks_contiguity(kit: ModuleType, decoder: Any) -> None:
    receiver = StyleReceiver(decoder)
    assert receiver.consume(packet(0, b"nonsense")) is None
    assert receiver.counters.malformed == 1
    assert receiver.consume(packet(1, kit.style_payload(np.zeros(16, np.float32)))) is not None
    assert decoder.contiguous == [False, False]


def test_foreign_tables_switch_style_off(kit: ModuleType, decoder: Any) -> None:
    receiver = StyleReceiver(decoder)
    receiver.enabled = False
    assert receiver.consume(packet(0, kit.style_payload(np.zeros(16, np.float32)))) is None
    assert decoder.contiguous == []


@pytest.mark.parametrize("value", [np.inf, np.nan, 100.0])
def test_absurd_values_never_reach_the_generator(value: float) -> None:
    class Hostile:
        def decode(self, payload: bytes, *, is_contiguous: bool) -> Any:
            return np.full(16, value, dtype=np.float32)

    style = StyleReceiver(Hostile()).consume(packet(0, b"x"))
    if np.isfinite(value):
        assert style is not None
        assert np.abs(style.values).max() == MAX_ABSOLUTE_VALUE
    else:
        assert style is None


def test_waiting_for_a_refresh_is_counted() -> None:
    class Waiting:
        def decode(self, payload: bytes, *, is_contiguous: bool) -> None:
            return None

    receiver = StyleReceiver(Waiting())
    assert receiver.consume(packet(0, b"x")) is None
    assert receiver.counters.waiting == 1


def test_decoder_starts_afresh_after_a_long_loss_but_not_after_silence(kit: ModuleType, decoder: Any) -> None:
    receiver = StyleReceiver(decoder)
    payload = kit.style_payload(np.zeros(16, np.float32))
    receiver.consume(packet(0, payload))
    receiver.consume(packet(25, payload))  # 1.5 s: a number cannot have come round
    assert decoder.num_resets == 0
    receiver.consume(packet(51, payload))  # 1.56 s, all lost
    assert decoder.num_resets == 1
    for sequence in range(52, 100):  # silence: every packet came, none carried style
        receiver.consume(packet(sequence))
    receiver.consume(packet(100, payload))
    assert decoder.num_resets == 1
    assert decoder.contiguous == [False, False, False, True]


def test_a_number_that_came_round_is_not_taken_for_its_namesake() -> None:
    values = np.random.default_rng(0).normal(size=(40, 16)).cumsum(axis=0).astype(np.float32) / 8
    encoder = StyleCodecEncoder(default_style_tables(), refresh_every=1000, anchor_every=1)
    payloads = [encoder.encode(v, refresh=i == 0, with_lips=False) for i, v in enumerate(values)]
    receiver = StyleReceiver(StyleCodecDecoder(default_style_tables()))
    assert receiver.consume(packet(0, payloads[0])) is not None
    # 32 anchors are lost: the number of the next one's predecessor is that of the anchor held here.
    refresh_follows = encoder.encode(values[0], refresh=True, with_lips=False)
    assert receiver.consume(packet(33, payloads[33])) is None
    assert receiver.counters.waiting == 1
    healed = receiver.consume(packet(40, refresh_follows))
    assert healed is not None
    np.testing.assert_array_equal(healed.values, encoder.reconstruction)
