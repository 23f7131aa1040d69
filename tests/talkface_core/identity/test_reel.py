"""The reel of an identity file: near the track that it was made of, and only that comes in."""

from __future__ import annotations

import re
import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkface_core.errors import TunedPartError
from talkface_core.identity.reel import MAX_VECTORS, pack_reel, unpack_reel
from talkface_core.style.track import StyleTrack


def track(count: int = 50, rate: Fraction = Fraction(25)) -> StyleTrack:
    return StyleTrack(np.random.default_rng(0).normal(0, 1.5, (count, 16)).astype(np.float32), rate)


def test_round_trip_within_half_a_step() -> None:
    exact = track(rate=Fraction(25, 3))
    data = pack_reel(exact)
    read = unpack_reel(data)
    assert read.frame_rate == exact.frame_rate
    assert np.abs(read.values - exact.values).max() <= 1 / 32
    assert len(data) == 8 + 50 * 16
    assert pack_reel(read) == data


def test_what_is_out_of_range_is_clipped() -> None:
    values = np.full((1, 16), 20, np.float32)
    assert unpack_reel(pack_reel(StyleTrack(values, Fraction(25)))).values.max() == 127 / 16


def test_limits_hold_when_packing() -> None:
    assert unpack_reel(pack_reel(track(MAX_VECTORS))).values.shape == (MAX_VECTORS, 16)
    with pytest.raises(ValueError, match="at most 4095 vectors"):
        pack_reel(track(MAX_VECTORS + 1))
    with pytest.raises(ValueError, match="at a plain rate"):
        pack_reel(track(rate=Fraction(2_500_001, 100_000)))


def reel(
    version: int = 1, count: int = 1, rate: tuple[int, int] = (25, 1), step: int = 4, steps: bytes = bytes(16)
) -> bytes:
    return struct.pack(">BHHHB", version, count, *rate, step) + steps


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "reel of 0 bytes is under 8: truncated"),
        (reel(version=2), "reel version 2 is unknown, this program reads 1"),
        (reel(count=0, steps=b""), "reel of 8 bytes does not hold the 0 vectors that it names"),
        (reel(count=65535), "reel of 24 bytes does not hold the 65535 vectors that it names"),
        (reel(steps=bytes(17)), "reel of 25 bytes does not hold the 1 vectors that it names"),
        (reel(rate=(25, 0)), "reel frame rate 25/0 is not a plain 1..240"),
        (reel(rate=(0, 1)), "reel frame rate 0/1 is not a plain 1..240"),
        (reel(rate=(50, 2)), "reel frame rate 50/2 is not a plain 1..240"),
        (reel(rate=(65535, 1)), "reel frame rate 65535/1 is not a plain 1..240"),
        (reel(step=0), "reel holds a step of 0 or a value of -128, which no writer makes"),
        (reel(steps=b"\x80" * 16), "reel holds a step of 0 or a value of -128, which no writer makes"),
    ],
)
def test_hostile_bytes(data: bytes, message: str) -> None:
    with pytest.raises(TunedPartError, match=f"^{re.escape(message)}$"):
        unpack_reel(data)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes(data: bytes) -> None:
    try:
        read = unpack_reel(b"\x01" + data)
    except TunedPartError:
        return
    assert np.isfinite(read.values).all()
