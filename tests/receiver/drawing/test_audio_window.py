"""Windows of the playout signal by sample time."""

from __future__ import annotations

import numpy as np
import pytest

from receiver.drawing.audio_window import AudioWindow


def make() -> AudioWindow:
    return AudioWindow(sample_rate_hz=16_000, past_samples=1_600, lookahead_samples=800)


def ramp(start: int, count: int) -> np.ndarray:
    return (np.arange(start, start + count) % 30_000).astype(np.int16)


def test_window_is_centred_on_its_sample() -> None:
    window = make()
    window.push(ramp(0, 24_000))
    found = window.window_at(12_000)
    assert found is not None
    assert found.shape == (2_400,)
    positions = 12_000 + 3 * (np.arange(2_400) - 1_600)
    np.testing.assert_allclose(found * 32768, positions, atol=2.0)


def test_window_waits_for_its_lookahead_and_not_longer() -> None:
    window = make()
    pushed = 0
    while window.window_at(4_800) is None:
        window.push(ramp(pushed, 48))
        pushed += 48
    assert 4_800 + 2_400 <= pushed <= 4_800 + window.lookahead_us * 48 / 1000 + 48


def test_before_the_start_and_beyond_what_is_kept_is_silence() -> None:
    window = make()
    window.push(np.full(10 * 48_000, 1_000, dtype=np.int16))
    start = window.window_at(0)
    assert start is not None
    assert not start.any()  # ten seconds ago: gone
    fresh = make()
    fresh.push(np.full(9_600, 1_000, dtype=np.int16))
    first = fresh.window_at(0)
    assert first is not None
    assert not first[:1_500].any()
    assert first[1_700:].min() > 0.02


def test_any_chunking_gives_the_same_window() -> None:
    rng = np.random.default_rng(1)
    pcm = rng.integers(-3_000, 3_000, 48_000).astype(np.int16)
    whole, parts = make(), make()
    whole.push(pcm)
    for part in np.split(pcm, np.sort(rng.integers(0, 48_000, 30))):
        parts.push(part)
    np.testing.assert_array_equal(whole.window_at(24_000), parts.window_at(24_000))


def test_window_must_fit() -> None:
    with pytest.raises(ValueError, match="over half of what is kept"):
        AudioWindow(sample_rate_hz=16_000, past_samples=64_000, lookahead_samples=0)
