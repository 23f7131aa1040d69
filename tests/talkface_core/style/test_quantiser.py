"""The quantiser, its training stand-ins and the rate proxy."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from talkface_core.interfaces import STYLE_VALUES
from talkface_core.style.codec import StyleCodecDecoder, StyleCodecEncoder
from talkface_core.style.quantiser import (
    MAX_INDEX,
    StyleQuantiser,
    dequantise,
    laplace_bits,
    quantise_residual,
    to_steps,
)
from talkface_core.style.tables import default_style_tables

STEPS = np.full(STYLE_VALUES, 32, dtype=np.int64)


def test_quantised_residual_stays_within_062_steps_of_any_value_and_on_the_grid() -> None:
    generator = np.random.default_rng(0)
    in_steps = np.clip(generator.normal(0, 12, (20_000, STYLE_VALUES)), -MAX_INDEX, MAX_INDEX)
    prediction = generator.integers(-MAX_INDEX, MAX_INDEX + 1, in_steps.shape)
    index = prediction + quantise_residual(in_steps, prediction)
    assert np.abs(index - in_steps).max() <= 0.62
    assert np.abs(index).max() <= MAX_INDEX


def test_dequantise_is_exact() -> None:
    indices = np.arange(-MAX_INDEX, MAX_INDEX + 1)[:, None] * np.ones(STYLE_VALUES, dtype=np.int64)
    steps = np.arange(1, STYLE_VALUES + 1) * 7
    expected = indices.astype(np.float64) * steps / 64
    np.testing.assert_array_equal(dequantise(indices, steps).astype(np.float64), expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_values_are_refused(bad: float) -> None:
    values = np.zeros(STYLE_VALUES, dtype=np.float32)
    values[3] = bad
    with pytest.raises(ValueError, match="must be finite"):
        to_steps(values, STEPS)


def test_noise_has_the_width_of_a_step_and_straight_through_has_unit_gradient() -> None:
    torch.manual_seed(0)
    quantiser = StyleQuantiser()
    values = torch.randn(4000, STYLE_VALUES, requires_grad=True)
    noise = quantiser.add_noise(values, torch.rand_like(values) - 0.5) - values
    assert noise.abs().max() <= 0.25
    assert noise.std().item() == pytest.approx(0.5 / math.sqrt(12), rel=0.02)
    quantiser.round(values).sum().backward()
    torch.testing.assert_close(values.grad, torch.ones_like(values))


@pytest.mark.parametrize("step_64ths", [8, 13, 32])
def test_training_rounds_as_the_codec_codes(step_64ths: int) -> None:
    """An absolute payload, decoded: bit for bit what training went on with, halves and values off the grid included."""
    generator = np.random.default_rng(0)
    step = step_64ths / 64
    values = (generator.normal(0, 6 * step, (300, STYLE_VALUES))).astype(np.float32)
    values[0] = (np.arange(STYLE_VALUES, dtype=np.float32) - 8) * np.float32(step / 2)
    values[1], values[2] = 41 * step, -1e6
    tables = dataclasses.replace(default_style_tables(), steps_64ths=(step_64ths,) * STYLE_VALUES)
    rounded = StyleQuantiser(tables.steps_64ths).round(torch.from_numpy(values)).numpy()
    encoder, decoder = StyleCodecEncoder(tables), StyleCodecDecoder(tables)
    for row, expected in zip(values, rounded, strict=True):
        decoded = decoder.decode(encoder.encode(row, refresh=True, with_lips=True), is_contiguous=True)
        np.testing.assert_array_equal(decoded, expected)


def test_laplace_bits_are_the_code_length_of_a_probability() -> None:
    scale = torch.tensor([0.1, 0.5, 2.0, 9.0], dtype=torch.float64)
    symbols = torch.arange(-400, 401, dtype=torch.float64)[:, None]
    mass = 2.0 ** -laplace_bits(symbols, scale)
    torch.testing.assert_close(mass.sum(0), torch.ones(4, dtype=torch.float64))
    # Independent: the density integrated numerically over one step around a non-integer residual.
    for residual, b in ((0.2, 0.7), (0.49, 0.2), (1.3, 0.7), (-6.1, 2.0)):
        x = np.linspace(residual - 0.5, residual + 0.5, 200_001)
        density = np.exp(-np.abs(x) / b) / (2 * b)
        integral = float(((density[1:] + density[:-1]) / 2).sum() * (x[1] - x[0]))
        bits = laplace_bits(torch.tensor(residual, dtype=torch.float64), torch.tensor(b, dtype=torch.float64))
        assert bits.item() == pytest.approx(-math.log2(integral), rel=1e-6)


def test_the_gradient_of_the_code_length_is_right() -> None:
    torch.manual_seed(0)
    residual = (2 * torch.randn(40, dtype=torch.float64)).requires_grad_()
    scale = torch.linspace(0.1, 3, 40, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(laplace_bits, (residual, scale))


def test_wrong_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="16 integers"):
        StyleQuantiser((32,) * 3)
