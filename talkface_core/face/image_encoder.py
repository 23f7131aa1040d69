"""E_image as one pass: the identity latent of a face it has never seen, from one picture.

The paper finds z by optimisation alone (III.D). This network, trained with the generator on many people, gives a start
in milliseconds; `talkface.edit.inversion` goes on from there.

Shapes: B batch, D latent dimension, R side of the picture.
"""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from talkface_core.face.layers import EqualizedConv2d, EqualizedLinear
from talkface_core.style.encoder import FACE_PX


class ImageEncoder(nn.Module):
    """A picture, aligned as the generator's training pictures were, to z. [B, 3, R, R] in [-1, 1] -> [B, D]."""

    def __init__(self, latent_dim: int, channel_max: int = 128) -> None:
        super().__init__()
        widths = [min(16 * 2**i, channel_max) for i in range(6)]
        self.stem = EqualizedConv2d(3, widths[0], 1)
        self.blocks = nn.Sequential(*(EqualizedConv2d(a, b, 3, down=True) for a, b in pairwise(widths)))
        self.out = EqualizedLinear(widths[-1] * 16, latent_dim)

    def forward(self, pictures: Tensor) -> Tensor:
        small = F.interpolate(pictures, size=(FACE_PX, FACE_PX), mode="area")
        z: Tensor = self.out(self.blocks(self.stem(small)).flatten(1))
        return z
