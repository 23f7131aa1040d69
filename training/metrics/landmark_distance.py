"""Landmark distance, LMD (Chen et al., "Lip movements generation at a glance", ECCV 2018): lower is better.

LMD = 1/T · 1/P · Σ_t Σ_p ‖LR_{t,p} - LF_{t,p}‖₂ in pixels, after the mean points of both sets have been laid on one
another ("calibrate the two mean points"), so that a face that sits elsewhere is not counted as a wrong mouth.
Pixels are those of the crop: a value depends on the resolution, so reports name it. Divided by the eyes' distance it
does not, and compares across crops and people. After dynamic time warping it says how wrong the shapes are when a lip
may come a little early or late: what is left of LMD is timing.
"""

from __future__ import annotations

from torch import Tensor

MOUTH_POINTS = range(48, 68)
"""Outer and inner lips of the 68-point scheme."""
FACE_POINTS = range(68)
LEFT_EYE_POINTS = range(42, 48)
RIGHT_EYE_POINTS = range(36, 42)
WARP_FRAMES = 5
"""0.2 s: what comes later than this belongs to another sound."""


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
    real, fake = (_chosen(p, points, calibrated=calibrated) for p in (real_points, fake_points))
    return (real - fake).square().sum(-1).sqrt().mean(-1)


def _chosen(points: Tensor, indices: range, *, calibrated: bool) -> Tensor:
    chosen = points[:, list(indices)]
    return chosen - chosen.mean(dim=1, keepdim=True) if calibrated else chosen


def eye_distance(points: Tensor) -> Tensor:
    """Distance of the outer eye corners, [T, 68, 2] to [T] pixels."""
    return (points[:, 45] - points[:, 36]).norm(dim=-1)


def warped_landmark_distance(real_points: Tensor, fake_points: Tensor, points: range = MOUTH_POINTS) -> float:
    """LMD along the cheapest warp of time (Sakoe and Chiba, 1978) of at most `WARP_FRAMES`.

    With c(i, j) the calibrated distance of true frame i and drawn frame j, the path from (0, 0) to (T - 1, T - 1) by
    steps (1, 0), (0, 1), (1, 1) whose sum of c is least; the value is that sum over the path's length. Never above LMD.

    Args:
        real_points, fake_points: [T, 68, 2] pixels.
    """
    real, fake = (_chosen(p, points, calibrated=True).double() for p in (real_points, fake_points))
    # [T, T] mean over points of the distance of every true frame to every drawn one.
    cost = (real[:, None] - fake[None]).square().sum(-1).sqrt().mean(-1).tolist()
    frames = range(len(cost))
    best: dict[tuple[int, int], tuple[float, int]] = {(-1, -1): (0.0, 0)}
    for i in frames:
        for j in range(max(0, i - WARP_FRAMES), min(len(cost), i + WARP_FRAMES + 1)):
            before = [best[p] for p in ((i - 1, j - 1), (i - 1, j), (i, j - 1)) if p in best]
            total, length = min(before)
            best[i, j] = (total + cost[i][j], length + 1)
    total, length = best[len(cost) - 1, len(cost) - 1]
    return total / length
