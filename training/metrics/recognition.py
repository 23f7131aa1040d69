"""Is it still the same person? The drawn face's nearest neighbour among true faces.

By a recogniser's descriptors, or by appearance alone, which no loss has seen: small colour pictures of the face between
brows, jaw and ears, compared pixel by pixel, the background cut away. A drawing that only resembles an average face is
nearest to whoever is most average, and the share sinks to one in the number of people.

Shapes: T frames, P persons, S = 3 · 24 · 24 values of a signature.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

SIGNATURE_PX = 24
_LEVELS_FLOOR = 1e-3


def face_signature(frames: Tensor, points: Tensor) -> Tensor:
    """Median face of a clip in a frame of its own landmarks: [S], exposure divided out.

    Args:
        frames: [T, 3, H, W] in [0, 1].
        points: [T, 68, 2] in pixels.
    """
    height, width = frames.shape[-2:]
    low, high = points.amin(dim=1), points.amax(dim=1)  # [T, 2]
    steps = (torch.arange(SIGNATURE_PX, dtype=frames.dtype, device=frames.device) + 0.5) / SIGNATURE_PX
    grid_y, grid_x = torch.meshgrid(steps, steps, indexing="ij")
    unit = torch.stack([grid_x, grid_y], dim=-1)  # [24, 24, 2]
    pixels = low[:, None, None] + unit * (high - low)[:, None, None]
    size = pixels.new_tensor([width, height])
    # Coarse first: 24 samples across a large face would otherwise pick single pixels.
    small = F.avg_pool2d(frames, max(1, min(height, width) // 64))
    faces = F.grid_sample(small, pixels / size * 2 - 1, padding_mode="border", align_corners=False)
    face = faces.median(dim=0).values
    return (face / face.mean().clamp_min(_LEVELS_FLOOR)).flatten()


def mean_difference(first: Tensor, second: Tensor) -> float:
    """Mean |a - b| of two signatures."""
    return float((first - second).abs().mean())


def recognised_share(
    drawn: Sequence[Tensor],
    true: Sequence[Tensor],
    persons: Sequence[str],
    distance: Callable[[Tensor, Tensor], float] = mean_difference,
) -> float | None:
    """Share of drawn clips that are nearest to a true clip of their own person; None with fewer than two persons.

    A clip is compared with other clips of its person where there are such, else with the one that it redraws.

    Args:
        drawn, true: [S] signatures or descriptors of the clips.
        persons: whose they are.
        distance: of two of them.
    """
    if len(set(persons)) < 2:
        return None
    hits = 0
    for i, signature in enumerate(drawn):
        has_other = any(p == persons[i] and j != i for j, p in enumerate(persons))
        candidates = [j for j in range(len(true)) if j != i or not has_other]
        nearest = min(candidates, key=lambda j: distance(true[j], signature))
        hits += persons[nearest] == persons[i]
    return hits / len(drawn)
