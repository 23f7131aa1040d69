"""The landmark network as a judge of whole crops: where the 68 points are, and features of its own.

Shapes: T frames, R side of the crop, C features.
"""

from __future__ import annotations

import torch
from torch import Tensor

from talkface_core.tracking.landmarks import CROP_PX, LandmarkNet


@torch.inference_mode()
def find_points(network: LandmarkNet, frames: Tensor, chunk: int = 32) -> Tensor:
    """[T, 3, R, R] in [0, 1] to [T, 68, 2] pixels, by the measuring network on the whole crop."""
    side = frames.shape[-1]
    parts = [network(_for_network(part)).points for part in frames.split(chunk)]
    return (torch.cat(parts) + 1) * (side / 2)


@torch.inference_mode()
def own_features(network: LandmarkNet, frames: Tensor, chunk: int = 32) -> Tensor:
    """[T, 3, R, R] to [T, C]: means of the landmark network's three deepest maps."""
    parts = []
    for part in frames.split(chunk):
        maps = network.encode(_for_network(part))
        parts.append(torch.cat([m.mean(dim=(2, 3)) for m in maps[2:]], dim=1))
    return torch.cat(parts)


def _for_network(frames: Tensor) -> Tensor:
    mode = "area" if frames.shape[-1] > CROP_PX else "bilinear"
    return torch.nn.functional.interpolate(frames * 2 - 1, size=(CROP_PX, CROP_PX), mode=mode)
