"""Streaming resampler: exact times, chunk equivalence, stop band, bounded state."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from talkface_core.sound.resample import StreamingResampler, resample

RATIOS = [(48_000, 16_000), (16_000, 48_000), (44_100, 48_000), (8_000, 48_000), (22_050, 48_000), (96_000, 48_000)]


def tone(frequency_hz: float, rate_hz: int, num_samples: int) -> NDArray[np.float32]:
    return np.sin(2 * np.pi * frequency_hz * np.arange(num_samples) / rate_hz).astype(np.float32)


@pytest.mark.parametrize(("input_rate", "output_rate"), [*RATIOS, (44_101, 48_000), (11_025, 48_000), (48_000, 48_000)])
def test_a_tone_stays_the_same_tone_at_the_same_time(input_rate: int, output_rate: int) -> None:
    output = resample(tone(1000, input_rate, input_rate // 4), input_rate, output_rate)
    expected = tone(1000, output_rate, len(output))
    edge = output_rate // 50
    assert np.abs(output - expected)[edge:-edge].max() < 2e-3


@pytest.mark.parametrize(("input_rate", "output_rate"), RATIOS)
def test_number_of_samples(input_rate: int, output_rate: int) -> None:
    for count in (0, 1, 7, 1000, 12_345):
        expected = -(-count * output_rate // input_rate)
        assert resample(np.zeros(count, np.float32), input_rate, output_rate).shape == (expected,)


@settings(max_examples=40, deadline=None)
@given(
    ratio=st.sampled_from([*RATIOS, (47_999, 48_000)]),
    chunks=st.lists(st.integers(0, 700), min_size=1, max_size=12),
)
def test_any_chunking_equals_one_call(ratio: tuple[int, int], chunks: list[int]) -> None:
    samples = np.random.default_rng(1).normal(size=sum(chunks)).astype(np.float32)
    stream = StreamingResampler(*ratio)
    pieces, position = [], 0
    for size in chunks:
        pieces.append(stream.process(samples[position : position + size]))
        position += size
    pieces.append(stream.flush())
    np.testing.assert_array_equal(np.concatenate(pieces), resample(samples, *ratio))


def test_above_the_new_nyquist_frequency_nothing_is_left() -> None:
    output = resample(tone(8500, 48_000, 48_000), 48_000, 16_000)
    assert np.abs(output[400:-400]).max() < 1e-3


def test_constant_signal_keeps_its_level_in_every_phase() -> None:
    output = resample(np.ones(4410, np.float32), 44_100, 48_000)
    np.testing.assert_allclose(output[200:-200], 1.0, atol=2e-4)


def test_output_is_late_by_the_published_delay_and_no_more() -> None:
    stream = StreamingResampler(48_000, 16_000)
    assert stream.process(np.ones(stream.delay_samples, np.float32)).shape == (0,)
    assert stream.process(np.ones(1, np.float32)).shape == (1,)
    assert stream.delay_ms < 4.0


def test_state_stays_small() -> None:
    stream = StreamingResampler(44_100, 48_000)
    for _ in range(300):
        stream.process(np.zeros(441, np.float32))
        assert stream._buffer.shape[0] < 4 * stream.delay_samples


def test_reset_and_flush_start_afresh() -> None:
    samples = np.random.default_rng(2).normal(size=3000).astype(np.float32)
    stream = StreamingResampler(48_000, 16_000)
    stream.process(samples[:777])
    stream.reset()
    first = np.concatenate([stream.process(samples), stream.flush()])
    second = np.concatenate([stream.process(samples), stream.flush()])
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, resample(samples, 48_000, 16_000))


def test_agrees_with_an_independent_implementation() -> None:
    functional = pytest.importorskip("torchaudio.functional")
    import torch

    rng = np.random.default_rng(3)
    spectrum = np.zeros(24_001, complex)
    spectrum[100:6000] = rng.normal(size=5900) + 1j * rng.normal(size=5900)  # noise between 100 and 6000 Hz
    samples = np.fft.irfft(spectrum, 48_000).astype(np.float32)
    samples /= np.abs(samples).max()
    ours = resample(samples, 48_000, 16_000)
    theirs = functional.resample(
        torch.from_numpy(samples), 48_000, 16_000, lowpass_filter_width=64, rolloff=0.945
    ).numpy()
    assert np.abs(ours - theirs)[300:-300].max() < 5e-3


@pytest.mark.parametrize(("input_rate", "output_rate"), [(44_101, 48_000), (191_999, 48_000), (48_000, 44_101)])
def test_ratios_with_many_phases_are_as_clean_and_take_little_memory(input_rate: int, output_rate: int) -> None:
    output = resample(tone(3000, input_rate, input_rate // 4), input_rate, output_rate)
    edge = output_rate // 50
    error = output - tone(3000, output_rate, len(output))
    assert np.abs(error)[edge:-edge].max() < 1e-3
    assert StreamingResampler(input_rate, output_rate)._bank.nbytes < 4e6


def test_unusable_input_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="sample rate 0 Hz"):
        StreamingResampler(0, 16_000)
    with pytest.raises(ValueError, match="mix down first"):
        StreamingResampler(48_000, 16_000).process(np.zeros((2, 10), np.float32))
