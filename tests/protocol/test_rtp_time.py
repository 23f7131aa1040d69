"""Serial-number arithmetic across wraps."""

from __future__ import annotations

import random

import pytest

from protocol.rtp_time import SequenceUnwrapper, TimestampUnwrapper, sequence_is_newer


@pytest.mark.parametrize(
    ("a", "b", "newer"),
    [
        (1, 0, True),
        (0, 1, False),
        (5, 5, False),
        (0, 65535, True),
        (65535, 0, False),
        (0x7FFF, 0, True),
        (0x8000, 0, False),
        (0, 0x8000, False),
    ],
)
def test_sequence_is_newer(a: int, b: int, newer: bool) -> None:
    assert sequence_is_newer(a, b) is newer


def test_sequence_wrap_65535_to_0() -> None:
    unwrapper = SequenceUnwrapper()
    assert [unwrapper.unwrap(value) for value in (65534, 65535, 0, 1)] == [65534, 65535, 65536, 65537]


def test_late_values_around_the_wrap() -> None:
    unwrapper = SequenceUnwrapper()
    assert [unwrapper.unwrap(value) for value in (1, 65535, 2, 0)] == [1, -1, 2, 0]


def test_timestamp_wrap_32_bit() -> None:
    unwrapper = TimestampUnwrapper()
    assert [unwrapper.unwrap(value) for value in (2**32 - 2880, 0, 2880)] == [2**32 - 2880, 2**32, 2**32 + 2880]


def test_late_value_does_not_move_the_reference() -> None:
    unwrapper = SequenceUnwrapper()
    assert unwrapper.unwrap(40_000) == 40_000
    assert unwrapper.unwrap(10_000) == 10_000
    # 40 000 + 32 000 is nearer to 40 000 than to 10 000: the late packet has not pulled it back a lap.
    assert unwrapper.unwrap((40_000 + 32_000) % 65536) == 72_000


def test_any_misorder_below_half_a_lap_is_undone() -> None:
    rng = random.Random(3)
    truth = list(range(60_000, 400_000, 7))
    for start in range(0, len(truth) - 50, 50):
        chunk = truth[start : start + 50]
        rng.shuffle(chunk)
        truth[start : start + 50] = chunk
    unwrapper = SequenceUnwrapper()
    offset = truth[0] - unwrapper.unwrap(truth[0] % 65536)
    assert [unwrapper.unwrap(value % 65536) + offset for value in truth[1:]] == truth[1:]


def test_reset_starts_a_new_stream() -> None:
    unwrapper = TimestampUnwrapper()
    unwrapper.unwrap(2**32 - 1)
    unwrapper.unwrap(0)
    unwrapper.reset()
    assert unwrapper.unwrap(5) == 5


@pytest.mark.parametrize("value", [-1, 65536])
def test_value_outside_the_field_is_refused(value: int) -> None:
    with pytest.raises(ValueError, match=rf"^sequence number {value} is outside 0\.\.65535$"):
        SequenceUnwrapper().unwrap(value)
