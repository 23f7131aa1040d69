"""Parts per million: exact counts, no clicks, nothing at ratio 1."""

from __future__ import annotations

import numpy as np
import pytest

from receiver.playout.fine_resampler import HALF_TAPS, FineResampler


def test_ratio_one_passes_samples_through_with_the_stated_delay() -> None:
    rng = np.random.default_rng(1)
    pcm = rng.integers(-30_000, 30_000, 9_600).astype(np.int16)
    resampler = FineResampler()
    output = np.concatenate([resampler.process(part, 0.0) for part in np.array_split(pcm, 7)])
    assert output.shape == pcm.shape
    np.testing.assert_array_equal(output[HALF_TAPS:], pcm[:-HALF_TAPS])


@pytest.mark.parametrize("ppm", [-500.0, -100.0, 50.0, 500.0])
def test_tone_is_stretched_by_the_ratio_and_stays_clean(ppm: float) -> None:
    seconds, hz = 20, 3_000.0
    step = 1 + ppm * 1e-6
    signal = (10_000 * np.sin(2 * np.pi * hz * np.arange(seconds * 48_000) / 48_000)).astype(np.int16)
    resampler = FineResampler()
    output = np.concatenate([resampler.process(part, ppm) for part in signal.reshape(-1, 960)])
    assert abs(output.shape[0] - signal.shape[0] / step) <= 2
    position = step * np.arange(output.shape[0]) - HALF_TAPS
    expected = 10_000 * np.sin(2 * np.pi * hz * position / 48_000)
    error = output[100:].astype(np.float64) - expected[100:]
    assert np.sqrt(np.mean(error**2)) < 10_000 / np.sqrt(2) * 10 ** (-55 / 20)


def test_changes_of_ratio_make_no_click() -> None:
    signal = (10_000 * np.sin(2 * np.pi * 200 * np.arange(96_000) / 48_000)).astype(np.int16)
    resampler = FineResampler()
    rng = np.random.default_rng(2)
    parts = [resampler.process(part, float(rng.uniform(-500, 500))) for part in signal.reshape(-1, 960)]
    steps = np.abs(np.diff(np.concatenate(parts)[100:].astype(np.int32)))
    assert steps.max() <= np.abs(np.diff(signal.astype(np.int32))).max() + 10


def test_loud_sound_is_clipped_not_wrapped() -> None:
    square = np.where(np.arange(4_800) // 24 % 2, 32767, -32768).astype(np.int16)
    output = FineResampler().process(square, 300.0)
    assert np.abs(np.diff(np.sign(output[100:].astype(np.int32)))).sum() <= 2 * (4_800 / 24 + 2)


def test_ratio_is_bounded() -> None:
    with pytest.raises(ValueError, match="at most"):
        FineResampler().process(np.zeros(10, dtype=np.int16), 501.0)


def test_empty_input_gives_nothing() -> None:
    assert FineResampler().process(np.zeros(0, dtype=np.int16), 0.0).shape == (0,)
