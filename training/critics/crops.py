"""What the second discriminator looks at: eyes and mouth, where a viewer looks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from talkface_core.tracking.landmarks import EYES, MOUTH, OUTER_EYE_CORNERS

COLLAGE_PX = 128
REACH = 0.7
"""Half the width of each cut, in distances of the outer eye corners: both eyes with their lids, a mouth wide open."""
LEAST_SHARE = 0.12
"""Of the picture's side: in profile the eyes come together, and the cut must not shrink with them."""


def eyes_and_mouth(pictures: Tensor, points: Tensor) -> Tensor:
    """A picture made of two cuts, the eyes above the mouth, each twice as wide as high.

    Args:
        pictures: [N, 3, R, R], any range; gradients flow into them.
        points: [N, 68, 2] pixels.

    Returns:
        [N, 3, 128, 128]
    """
    side = pictures.shape[-1]
    right, left = (points[:, i] for i in OUTER_EYE_CORNERS)
    reach = REACH * (left - right).norm(dim=1).clamp_min(LEAST_SHARE * side)
    across = (torch.arange(COLLAGE_PX, device=pictures.device) + 0.5) / COLLAGE_PX * 2 - 1
    down = across[COLLAGE_PX // 4 : -COLLAGE_PX // 4]  # -0.5 to 0.5: half as high as wide
    grid = torch.stack(torch.meshgrid(across, down, indexing="xy"), dim=-1)  # [64, 128, 2]
    cuts = []
    for part in (EYES, MOUTH):
        centre = points[:, list(part)].mean(dim=1)
        where = centre[:, None, None] + grid * reach[:, None, None, None]
        cuts.append(F.grid_sample(pictures, where / side * 2 - 1, padding_mode="border", align_corners=False))
    return torch.cat(cuts, dim=2)
