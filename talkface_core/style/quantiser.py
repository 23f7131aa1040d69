"""The style bottleneck's quantiser: floats in sigma units to grid indices, and its differentiable stand-ins.

Training sees uniform noise of one step's width (Balle et al., arXiv 1611.01704), later straight-through rounding; the
wire sees the integers of `quantise_residual`. The rate proxy is the code length of prediction residuals under a fitted
Laplace density, which is what `style_tables.py` turns into integer tables.

Shapes: B clips, T frames, V = 16 style values (12 base, 4 lips).
"""

from __future__ import annotations

from enum import Enum

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
MIN_LAPLACE_SCALE = 0.1
"""In steps. Below it a value is constant in practice and its code length would run to zero."""


class QuantiserMode(Enum):
    """What stands in for rounding."""

    NOISE = "noise"
    """Add uniform noise of one step's width: gradients flow, the rate proxy is an upper bound."""
    STRAIGHT_THROUGH = "straight_through"
    """Round forwards, identity backwards: the values the receiver will see."""
    BYPASS = "bypass"
    """Leave the values alone."""


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
    scaled = np.asarray(values, dtype=np.float64) * STEP_DENOMINATOR / steps_64ths
    return np.clip(scaled, -MAX_INDEX, MAX_INDEX)


def quantise_residual(in_steps: NDArray[np.float64], prediction: NDArray[np.int64]) -> NDArray[np.int64]:
    """Integer residual whose sum with `prediction` is within 0.62 steps of `in_steps` (both [..., V])."""
    residual = in_steps - prediction
    rounded = np.sign(residual) * np.floor(np.abs(residual) + ROUNDING_OFFSET)
    # Rounding away from a prediction never leaves the grid: |in_steps| <= MAX_INDEX and the offset is below 1/2.
    return rounded.astype(np.int64)


def dequantise(indices: NDArray[np.int64], steps_64ths: NDArray[np.int64]) -> NDArray[np.float32]:
    """Grid indices [..., V] to float32 values in sigma units; exact, because numerators stay below 2**24."""
    return (indices * steps_64ths).astype(np.float32) / np.float32(STEP_DENOMINATOR)


class StyleQuantiser(nn.Module):
    """Differentiable stand-in for the quantiser in training; it has no parameters to learn."""

    steps: Tensor

    def __init__(self, steps_64ths: tuple[int, ...] = DEFAULT_STEPS_64THS) -> None:
        super().__init__()
        if len(steps_64ths) != STYLE_VALUES or min(steps_64ths) < 1:
            raise ValueError(f"steps_64ths must hold {STYLE_VALUES} integers >= 1; got {steps_64ths}")
        self.register_buffer("steps", torch.tensor(steps_64ths) / STEP_DENOMINATOR, persistent=False)

    def forward(self, values: Tensor, mode: QuantiserMode) -> Tensor:
        """[..., V] values in sigma units to what the generator is trained on; same shape."""
        if mode is QuantiserMode.BYPASS:
            return values
        if mode is QuantiserMode.NOISE:
            return values + (torch.rand_like(values) - 0.5) * self.steps
        rounded = (values / self.steps).round().clamp(-MAX_INDEX, MAX_INDEX) * self.steps
        return values + (rounded - values).detach()

    def rate_bits(self, values: Tensor, *, leak: float = 0.95) -> Tensor:
        """Mean bits per style vector that a predictive coder would spend (differentiable in `values`).

        The residual v_t - leak * v_{t-1}, in steps, is given the code length of a Laplace density integrated over one
        step, with its scale fitted to this batch for each value.

        Args:
            values: [B, T, V] at the rate at which style is sent, T >= 2.
            leak: prediction coefficient in [0, 1].

        Returns:
            scalar, bits per vector (sum over the V values, mean over B and T - 1).
        """
        if values.ndim != 3 or values.shape[1] < 2:
            raise ValueError(f"rate_bits needs [B, T >= 2, V]; got {tuple(values.shape)}")
        residual = (values[:, 1:] - leak * values[:, :-1]) / self.steps
        scale = residual.abs().mean(dim=(0, 1)).clamp_min(MIN_LAPLACE_SCALE)
        return laplace_bits(residual, scale).sum(-1).mean()


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
