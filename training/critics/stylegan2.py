"""D: the StyleGAN2 residual discriminator (paper IV.C), for whole frames or for crops of the mouth.

Karras et al., StyleGAN2, figure 7 (residual D) and Progressive GAN, section 3 (minibatch standard deviation).
Shapes: B batch, C channels of the input (3, or 9 for three stacked frames), R resolution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from talkface_core.face.layers import EqualizedConv2d, EqualizedLinear
from training.critics.interface import Critic


@dataclass(frozen=True, kw_only=True, slots=True)
class DiscriminatorConfig:
    """Sizes of D."""

    resolution_px: int = 256
    in_channels: int = 3
    channel_base: int = 8192
    channel_max: int = 256
    minibatch_group: int = 4
    """Samples over which the standard deviation is taken."""

    def channels(self, resolution_px: int) -> int:
        return min(self.channel_base // resolution_px, self.channel_max)


class ResidualBlock(nn.Module):
    """Two convolutions, the second halving the resolution, beside a filtered 1x1 skip."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        scale = math.sqrt(0.5)  # keeps the variance of the sum of two branches
        self.conv = EqualizedConv2d(in_channels, in_channels, 3)
        self.down = EqualizedConv2d(in_channels, out_channels, 3, down=True, gain=scale)
        self.skip = EqualizedConv2d(in_channels, out_channels, 1, down=True, bias=False, activate=False, gain=scale)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.skip(x) + self.down(self.conv(x))
        return y


def minibatch_stddev(x: Tensor, group: int) -> Tensor:
    """Append one map that holds the mean standard deviation over groups: [B, C, H, W] -> [B, C + 1, H, W]."""
    batch, channels, height, width = x.shape
    size = math.gcd(batch, group)
    y = x.float().view(size, -1, channels, height, width)  # [G, B/G, C, H, W]
    y = (y.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))  # [B/G]
    y = y.view(-1, 1, 1, 1).repeat(size, 1, height, width).to(x.dtype)  # [B, 1, H, W]
    return torch.cat([x, y], dim=1)


class Discriminator(Critic):
    """Pictures to logits; `forward` can also return the feature maps for feature matching."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        self.from_rgb = EqualizedConv2d(config.in_channels, config.channels(config.resolution_px), 1)
        self.blocks = nn.ModuleList()
        resolution = config.resolution_px
        while resolution > 4:
            self.blocks.append(ResidualBlock(config.channels(resolution), config.channels(resolution // 2)))
            resolution //= 2
        last = config.channels(4)
        self.conv = EqualizedConv2d(last + 1, last, 3)
        self.fc = EqualizedLinear(last * 16, last, activate=True)
        self.out = EqualizedLinear(last, 1)

    def look(self, pictures: Tensor, *, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        return [pictures]

    def judge(self, seen: list[Tensor], *, dtype: torch.dtype = torch.float32) -> tuple[Tensor, list[Tensor]]:
        """One picture batch [B, C, R, R] to logits [B] and the feature map after each block.

        Args:
            dtype: of the feature maps; the last stage runs in float32.
        """
        (pictures,) = seen
        # Casting the weights inside autocast would break double backward for R1, so the input's dtype decides.
        with torch.autocast(pictures.device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            x = self.from_rgb(pictures)
            features: list[Tensor] = []
            for block in self.blocks:
                x = block(x)
                features.append(x)
        x = minibatch_stddev(x.float(), self.config.minibatch_group)
        x = self.conv(x)
        logits: Tensor = self.out(self.fc(x.flatten(1))).squeeze(1)
        return logits, features
