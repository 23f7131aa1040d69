"""Motion: does the drawn head go where the true one goes? It tells heads from ghosts.

A face that stays behind while its picture moves, or dissolves between two places, can have fair pixels on average; the
track of its eyes and nose bridge does not follow. Shapes: T frames, points [T, 68, 2] in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from training.metrics.landmark_distance import eye_distance

_STEADY_POINTS = (36, 39, 42, 45, 27, 28, 29, 30)
"""Corners of the eyes and the bridge of the nose: what neither speech nor blinks move."""
LEAST_MOTION = 0.02
"""Of the eyes' distance, root mean square: below this the head stands still, and what is left is the trembling of
points."""


@dataclass(frozen=True, slots=True)
class HeadMotion:
    """How the drawn displacement hangs together with the true one; 1 and 1 are right."""

    correlation: float
    """r = Σ⟨u, û⟩ / √(Σ‖u‖² Σ‖û‖²)"""
    scale: float
    """Least-squares factor Σ⟨u, û⟩ / Σ‖u‖²: 0.5 means that the drawn head goes half of the way."""


def head_track(points: Tensor) -> Tensor:
    """[T, 68, 2] to the head's displacement u from its mean place, [T, 2], in pixels."""
    track = points[:, list(_STEADY_POINTS)].double().mean(dim=1)
    return track - track.mean(dim=0, keepdim=True)


def head_motion(real_points: Tensor, fake_points: Tensor) -> HeadMotion | None:
    """Compare displacements [T, 68, 2]; None when the true head stands still.

    Raises:
        ValueError: unequal shapes.
    """
    if real_points.shape != fake_points.shape:
        raise ValueError(f"head_motion: needs two of one shape, got {[*real_points.shape]}, {[*fake_points.shape]}")
    real, fake = head_track(real_points), head_track(fake_points)
    size = eye_distance(real_points).double().mean()
    power = real.square().sum()
    if float((power / len(real)).sqrt()) < LEAST_MOTION * float(size):
        return None
    shared = (real * fake).sum()
    return HeadMotion(
        correlation=float(shared / (power * fake.square().sum()).sqrt().clamp_min(1e-12)),
        scale=float(shared / power),
    )
