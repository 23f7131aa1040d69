"""The style bottleneck's quantiser: floats to grid indices, for the codec (numpy) and for training (torch) alike.

The wire sees the integers of `quantise_residual`. Training sees uniform noise of one step's width (Balle et al., arXiv
1611.01704), later what the far end decodes from an absolute payload, straight through for gradients. The rule itself,
`within_grid` and `whole_steps`, is written once with operators that arrays and tensors share. The rate proxy is the
code length of prediction residuals under a Laplace density, which is what `tables.py` turns into integer tables.

Shapes: B clips, T frames, V = 16 style values (12 base, 4 lips).
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from talkface_core.interfaces import STYLE_VALUES

MAX_INDEX = 40
"""Largest magnitude of a grid index: values beyond +-MAX_INDEX steps are clipped before coding. Five sigma at the
finest step in use, an eighth of one."""
STEP_DENOMINATOR = 64
"""Steps are whole 64ths of sigma, so that index x step is exact in float32 on every machine."""
DEFAULT_STEPS_64THS: tuple[int, ...] = (32,) * STYLE_VALUES
"""Half a standard deviation each: 15-16 dB of latent signal-to-noise ratio at the rate the design asks for."""
ROUNDING_OFFSET = 0.38
"""Residuals round up from 1 - 0.38 instead of 0.5, as video coders do: small jitter stays at the prediction, for
a worst error of 0.62 steps."""


Float64s = TypeVar("Float64s", NDArray[np.float64], Tensor)
"""float64, of numpy or of torch."""


def within_grid(in_steps: Float64s) -> Float64s:
    """Clip to the range of the grid."""
    return in_steps.clip(-MAX_INDEX, MAX_INDEX)


def whole_steps(residual: Float64s) -> Float64s:
    """Round to whole steps, towards zero up to a fraction of 1 - ROUNDING_OFFSET."""
    magnitude = (abs(residual) + ROUNDING_OFFSET) // 1
    return magnitude * (1 - 2 * (residual < 0))


def to_steps(values: NDArray[np.float32], steps_64ths: NDArray[np.int64]) -> NDArray[np.float64]:
    """Values [..., V] in sigma units to steps, clipped to the range of the grid.

    Args:
        values: [..., V] finite floats.
        steps_64ths: [V] step of each value in 64ths of sigma, all >= 1.

    Raises:
        ValueError: a value is not finite.
    """
    if not np.isfinite(values).all():
        raise ValueError("style values must be finite; got NaN or infinity from the style encoder")
    return within_grid(np.asarray(values, dtype=np.float64) * STEP_DENOMINATOR / steps_64ths)


def quantise_residual(in_steps: NDArray[np.float64], prediction: NDArray[np.int64]) -> NDArray[np.int64]:
    """Integer residual whose sum with `prediction` is within 0.62 steps of `in_steps` (both [..., V])."""
    # Rounding away from a prediction never leaves the grid: |in_steps| <= MAX_INDEX and the offset is below 1/2.
    return whole_steps(in_steps - prediction).astype(np.int64)


def dequantise(indices: NDArray[np.int64], steps_64ths: NDArray[np.int64]) -> NDArray[np.float32]:
    """Grid indices [..., V] to float32 values in sigma units; exact, because numerators stay below 2**24."""
    return (indices * steps_64ths).astype(np.float32) / np.float32(STEP_DENOMINATOR)


class StyleQuantiser(nn.Module):
    """The quantiser in training: differentiable, without parameters to learn.

    Args:
        steps_64ths: [V] step of each value, in 64ths of the unit that the values come in.
    """

    steps: Tensor
    """[V] in that unit"""
    steps_64ths: Tensor
    """[V] float64"""

    def __init__(self, steps_64ths: tuple[int, ...] = DEFAULT_STEPS_64THS) -> None:
        super().__init__()
        if len(steps_64ths) != STYLE_VALUES or min(steps_64ths) < 1:
            raise ValueError(f"steps_64ths must hold {STYLE_VALUES} integers >= 1; got {steps_64ths}")
        self.register_buffer("steps", torch.tensor(steps_64ths) / STEP_DENOMINATOR, persistent=False)
        self.register_buffer("steps_64ths", torch.tensor(steps_64ths, dtype=torch.float64), persistent=False)

    def add_noise(self, values: Tensor, noise: Tensor) -> Tensor:
        """Both [..., V]; noise uniform in [-1/2, 1/2] steps: gradients flow, the rate proxy is an upper bound."""
        return values + noise * self.steps

    def round(self, values: Tensor) -> Tensor:
        """[..., V] float32: forwards what the far end decodes from an absolute payload, backwards the identity."""
        with torch.no_grad():
            in_steps = within_grid(values.double() * STEP_DENOMINATOR / self.steps_64ths)
            rounded = (whole_steps(in_steps) * self.steps_64ths / STEP_DENOMINATOR).float()
        # Exactly `rounded`, which `values + (rounded - values)` need not be.
        return rounded + (values - values.detach())


def laplace_bits(residual: Tensor, scale: Tensor) -> Tensor:
    """-log2 of the Laplace mass in [r - 1/2, r + 1/2], stable for large |r|.

    For |r| >= 1/2 the mass is exp(-|r|/b) sinh(1/(2b)); around zero it is 1 - exp(-1/(2b)) cosh(r/b).

    Args:
        residual: r, any shape, in steps.
        scale: b, broadcastable, in steps, positive.
    """
    magnitude = residual.abs()
    half = 0.5 / scale
    log_sinh = half + torch.log1p(-torch.exp(-2 * half)) - torch.log(torch.tensor(2.0))
    tail = magnitude / scale - log_sinh
    # The centre's formula is evaluated on clamped values only, so that cosh cannot overflow into a NaN gradient.
    near = magnitude.clamp_max(0.5) / scale
    centre_mass = 1 - 0.5 * (torch.exp(near - half) + torch.exp(-near - half))
    centre = -torch.log(centre_mass.clamp_min(1e-12))
    return torch.where(magnitude >= 0.5, tail, centre) / torch.log(torch.tensor(2.0))
