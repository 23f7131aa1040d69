"""What the metrics share: a value that is missing for a reason, and the one door from pixels to tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A metric that could not be computed; reports print null and the reason.

    Args:
        reason: one sentence: what is missing and how to supply it.
    """

    reason: str


def frames_to_unit(frames: NDArray[np.uint8]) -> Tensor:
    """[T, H, W, 3] uint8 RGB to [T, 3, H, W] float32 in [0, 1]."""
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8:
        raise ValueError(f"frames_to_unit: expected [T, H, W, 3] uint8, got {list(frames.shape)} {frames.dtype}")
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255


def check_same_frames(what: str, real: Tensor, fake: Tensor) -> None:
    """Raise ValueError unless both are [T, C, H, W] of one shape."""
    if real.ndim != 4 or real.shape != fake.shape:
        raise ValueError(f"{what}: needs two [T, C, H, W] of one shape, got {[*real.shape]} and {[*fake.shape]}")
