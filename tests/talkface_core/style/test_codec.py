"""Encode, bytes, decode: exact, small, loss-tolerant, and unmoved by hostile bytes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from talkface_core.errors import StylePayloadError
from talkface_core.interfaces import BASE_STYLE_VALUES, STYLE_VALUES
from talkface_core.style.codec import MAX_STYLE_PAYLOAD_BYTES, StyleCodecDecoder, StyleCodecEncoder, SymbolCoder
from talkface_core.style.tables import TABLE_TOTAL, default_style_tables, fit_style_tables, synthetic_tracks

TABLES = default_style_tables()
GOLDEN_PAYLOADS = "03adcb878d2681138e 76dc3d09df26 05a12983745736becb 8d0e49c9c1 0773c9e82b8b6bcca8 a3410ba0fcb0"
"""Hex of `golden_values` encoded: a change here is a change of the wire format."""


def golden_values() -> NDArray[np.float32]:
    """[6, 16] made without any random generator."""
    return np.array([[math.sin(0.7 * t + i) * (1 + i / 8) for i in range(STYLE_VALUES)] for t in range(6)], np.float32)


def random_sequence(generator: np.random.Generator) -> NDArray[np.float32]:
    """One to three vectors: walks, jumps, constants, extremes beyond the grid."""
    length = int(generator.integers(1, 4))
    spread = float(generator.choice([0.05, 0.5, 2.0, 20.0]))
    walk = generator.normal(0, spread, (length, STYLE_VALUES))
    return (walk.cumsum(0) if generator.random() < 0.5 else walk).astype(np.float32)


def test_ten_thousand_random_sequences_decode_exactly() -> None:
    generator = np.random.default_rng(1)
    encoders = [StyleCodecEncoder(TABLES, anchor_every=n) for n in (1, 2, 4)]
    decoder = StyleCodecDecoder(TABLES)
    for i in range(10_000):
        encoder = encoders[i % 3]
        for t, values in enumerate(random_sequence(generator)):
            with_lips = bool(generator.random() < 0.4)
            payload = encoder.encode(values, refresh=t == 0, with_lips=with_lips)
            assert 1 <= len(payload) <= MAX_STYLE_PAYLOAD_BYTES
            decoded = decoder.decode(payload, is_contiguous=True)
            assert decoded is not None
            assert decoder.is_exact
            assert decoded.tobytes() == encoder.reconstruction.tobytes()
            sent = STYLE_VALUES if with_lips else BASE_STYLE_VALUES
            assert np.abs(decoded - np.clip(values, -20, 20))[:sent].max() <= 0.62 * 0.5 + 1e-6
            assert not decoded[sent:].any()


@pytest.mark.parametrize("loss", [0.05, 0.2, 0.5])
def test_under_loss_exact_values_are_marked_and_estimates_stay_close(loss: float) -> None:
    generator = np.random.default_rng(2)
    encoder, decoder = StyleCodecEncoder(TABLES), StyleCodecDecoder(TABLES)
    num_exact = num_received = 0
    squared_error = 0.0
    is_contiguous = True
    for values in np.concatenate(synthetic_tracks(7)[:4]):
        payload = encoder.encode(values, refresh=False, with_lips=True)
        if generator.random() < loss:
            is_contiguous = False
            continue
        decoded = decoder.decode(payload, is_contiguous=is_contiguous)
        is_contiguous = True
        if decoded is None:
            continue
        num_received += 1
        if decoder.is_exact:
            num_exact += 1
            assert decoded.tobytes() == encoder.reconstruction.tobytes()
        # Lips are absolute: exact whatever was lost.
        assert decoded[BASE_STYLE_VALUES:].tobytes() == encoder.reconstruction[BASE_STYLE_VALUES:].tobytes()
        squared_error += float(np.square(decoded - encoder.reconstruction).mean())
    assert num_received > 300
    # A chain of payloads would leave (1 - loss)^8 exact on average: 66 %, 17 %, 0.4 %.
    assert num_exact / num_received > {0.05: 0.85, 0.2: 0.55, 0.5: 0.25}[loss]
    assert math.sqrt(squared_error / num_received) < {0.05: 0.2, 0.2: 0.35, 0.5: 0.65}[loss]  # sigma


def test_losing_a_plain_payload_leaves_the_next_exact_and_losing_an_anchor_is_healed_by_a_refresh() -> None:
    encoder, decoder = StyleCodecEncoder(TABLES, anchor_every=4), StyleCodecDecoder(TABLES)
    payloads = [
        encoder.encode(v, refresh=t in (0, 8), with_lips=False) for t, v in enumerate(synthetic_tracks(3)[0][:9])
    ]
    exact = []
    for t in (0, 2, 3, 5, 7, 8):  # 1 is plain, 4 is the anchor, 6 is plain
        assert decoder.decode(payloads[t], is_contiguous=t == 3) is not None
        exact.append(decoder.is_exact)
    assert exact == [True, True, True, False, False, True]


def test_a_payload_left_out_by_the_sender_is_noticed_although_nothing_was_lost() -> None:
    encoder, decoder = StyleCodecEncoder(TABLES, anchor_every=1), StyleCodecDecoder(TABLES)
    track = synthetic_tracks(3)[0]
    payloads = [encoder.encode(v, refresh=t == 0, with_lips=False) for t, v in enumerate(track[:3])]
    decoder.decode(payloads[0], is_contiguous=True)
    decoder.decode(payloads[2], is_contiguous=True)
    assert not decoder.is_exact


def test_nothing_before_the_first_refresh_and_after_reset() -> None:
    encoder, decoder = StyleCodecEncoder(TABLES), StyleCodecDecoder(TABLES)
    values = synthetic_tracks(3)[0]
    first, second = (encoder.encode(v, refresh=False, with_lips=False) for v in values[:2])
    assert decoder.decode(second, is_contiguous=False) is None
    assert decoder.decode(first, is_contiguous=False) is not None
    decoder.reset()
    assert decoder.decode(second, is_contiguous=True) is None


def test_encoder_refreshes_by_itself() -> None:
    encoder = StyleCodecEncoder(TABLES, refresh_every=5)
    track = synthetic_tracks(3)[0][:20]
    payloads = [encoder.encode(v, refresh=False, with_lips=False) for v in track]
    alone = [StyleCodecDecoder(TABLES).decode(p, is_contiguous=False) is not None for p in payloads]
    gaps = np.diff([t for t, decodes in enumerate(alone) if decodes])
    assert alone[0]
    assert gaps.max() <= 5


def test_payload_bytes_stay_in_the_budget_of_natural_motion() -> None:
    """1.2 kbps at 16.7 payloads per second with 4 bytes of framing each leaves 5 bytes; without lips far less."""
    tracks = synthetic_tracks(11)[:3]
    mean_bytes = {}
    for with_lips in (False, True):
        encoder = StyleCodecEncoder(TABLES)
        sizes = [len(encoder.encode(v, refresh=False, with_lips=with_lips)) for track in tracks for v in track]
        mean_bytes[with_lips] = float(np.mean(sizes))
    assert mean_bytes[False] <= 3.7
    assert mean_bytes[True] <= 5.1


def test_payloads_are_within_a_byte_of_their_code_length() -> None:
    """Against an independent sum of -log2 of the integer tables; arithmetic coding costs at most about a byte."""
    encoder = StyleCodecEncoder(TABLES)
    coder = SymbolCoder(TABLES)
    total_bits = total_bytes = count = 0.0
    for values in np.concatenate(synthetic_tracks(12)[:2]):
        payload = encoder.encode(values, refresh=False, with_lips=True)
        s = coder.decode(payload)
        assert s.lips is not None
        frequencies = [TABLES.kind_table[s.kind], TABLE_TOTAL // 8, TABLES.scale_tables[s.kind][s.scale]]
        frequencies.append(TABLES.lips_state_table[s.lips_state])
        for row, residual in zip(TABLES.base_tables[s.kind][s.scale], s.base, strict=True):
            frequencies.append(TABLES.bank[row][int(residual) + 80])
        for row, index in zip(TABLES.lips_tables[s.lips_state - 1], s.lips, strict=True):
            frequencies.append(TABLES.bank[row][int(index) + 80])
        bits = -sum(math.log2(f / TABLE_TOTAL) for f in frequencies)
        assert 8 * len(payload) <= bits + 10
        total_bits, total_bytes, count = total_bits + bits, total_bytes + len(payload), count + 1
    assert 8 * total_bytes <= total_bits + 6 * count


def test_golden_payloads() -> None:
    encoder = StyleCodecEncoder(TABLES)
    payloads = [encoder.encode(v, refresh=False, with_lips=t % 2 == 0) for t, v in enumerate(golden_values())]
    assert [p.hex() for p in payloads] == GOLDEN_PAYLOADS.split()


def test_hostile_bytes_raise_only_the_payload_error() -> None:
    generator = np.random.default_rng(4)
    encoder, decoder = StyleCodecEncoder(TABLES), StyleCodecDecoder(TABLES)
    real = [encoder.encode(v, refresh=False, with_lips=True) for v in synthetic_tracks(3)[0][:50]]
    num_refused = 0
    for i in range(6000):
        payload = bytearray(real[i % len(real)])
        match i % 4:
            case 0:
                payload = bytearray(generator.bytes(int(generator.integers(0, 80))))
            case 1:
                payload[int(generator.integers(len(payload)))] ^= int(generator.integers(1, 256))
            case 2:
                payload = payload[: int(generator.integers(len(payload) + 1))]
            case 3:
                payload += generator.bytes(int(generator.integers(1, 8)))
        try:
            values = decoder.decode(bytes(payload), is_contiguous=bool(i % 2))
        except StylePayloadError:
            num_refused += 1
            continue
        assert values is None or (np.isfinite(values).all() and np.abs(values).max() <= 20)
    assert num_refused > 1500  # junk behind a payload is nearly always noticed
    for payload in (b"", bytes(MAX_STYLE_PAYLOAD_BYTES + 1)):
        with pytest.raises(StylePayloadError, match=r"empty|over 64"):
            decoder.decode(payload, is_contiguous=True)


def test_caller_mistakes_are_named() -> None:
    encoder = StyleCodecEncoder(TABLES)
    with pytest.raises(ValueError, match=r"must be \[16\], not \[3\]"):
        encoder.encode(np.zeros(3, np.float32), refresh=False, with_lips=False)
    with pytest.raises(ValueError, match="finite"):
        encoder.encode(np.full(16, np.nan, np.float32), refresh=False, with_lips=False)
    with pytest.raises(ValueError, match="at least 1"):
        StyleCodecEncoder(TABLES, refresh_every=0)


def test_other_tables_code_their_own_motion_shorter() -> None:
    tracks = [track * np.float32(0.2) for track in synthetic_tracks(5)]
    fitted = fit_style_tables(tracks[:10])
    sizes = {}
    for name, tables in (("fitted", fitted), ("default", TABLES)):
        encoder = StyleCodecEncoder(tables)
        sizes[name] = sum(len(encoder.encode(v, refresh=False, with_lips=False)) for v in tracks[12])
    assert sizes["fitted"] < sizes["default"]
