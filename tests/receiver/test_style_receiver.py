"""Style payloads out of packets: order, loss, garbage."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from receiver.media_packet import MediaPacket
from receiver.style_receiver import MAX_ABSOLUTE_VALUE, StyleReceiver


def packet(sequence: int, style: bytes = b"", *, is_repair: bool = False) -> MediaPacket:
    return MediaPacket(
        sequence=sequence,
        start_ticks=sequence * 2880,
        duration_ticks=2880,
        opus=b"",
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
