"""Landmark distance, LMD (Chen et al., "Lip movements generation at a glance", ECCV 2018): lower is better.

LMD = 1/T · 1/P · Σ_t Σ_p ‖LR_{t,p} - LF_{t,p}‖₂ in pixels, after the mean points of both sets have been laid on one
another ("calibrate the two mean points"), so that a face that sits elsewhere is not counted as a wrong mouth.
Pixels are those of the crop: a value depends on the resolution, so reports name it.
"""

from __future__ import annotations

import torch
from torch import Tensor

MOUTH_POINTS = range(48, 68)
"""Outer and inner lips of the 68-point scheme."""
FACE_POINTS = range(68)
LEFT_EYE_POINTS = range(42, 48)
RIGHT_EYE_POINTS = range(36, 42)


def landmark_distance(
    real_points: Tensor, fake_points: Tensor, points: range = MOUTH_POINTS, *, calibrated: bool = True
) -> Tensor:
    """LMD per frame.

    Args:
        real_points, fake_points: [T, 68, 2] pixels.
        points: which of the 68 are compared.
        calibrated: subtract each set's mean point per frame, as the definition says; False also counts position.

    Returns:
        [T] mean distance in pixels; average over T for the published number.

    Raises:
        ValueError: wrong or unequal shapes.
    """
    if real_points.shape != fake_points.shape or real_points.ndim != 3 or real_points.shape[1:] != (68, 2):
        raise ValueError(
            f"landmark_distance: needs two [T, 68, 2], got {[*real_points.shape]} and {[*fake_points.shape]}"
        )
    chosen = torch.tensor(list(points), device=real_points.device)
    real, fake = real_points[:, chosen], fake_points[:, chosen]
    if calibrated:
        real = real - real.mean(dim=1, keepdim=True)
        fake = fake - fake.mean(dim=1, keepdim=True)
    return (real - fake).square().sum(-1).sqrt().mean(-1)
