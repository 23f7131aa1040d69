"""A projected discriminator: a frozen network looks, small heads judge (Sauer et al., NeurIPS 2021).

EfficientNet-Lite0's maps of four resolutions are mixed by random layers that never change: across channels (1x1) and
from coarse to fine (3x3), so that no head can lean on a few features alone. Only the heads are trained. Gradient
penalties act on what the heads see, not on pixels: no second derivative goes through the big network.

    pictures ── EfficientNet (frozen) ─┬ stride 4  ─ 1x1 ─ + ─ 3x3 ── head
                                       ├ stride 8  ─ 1x1 ─ + ─ 3x3 ── head      each + takes the coarser
                                       ├ stride 16 ─ 1x1 ─ + ─ 3x3 ── head      result, enlarged
                                       └ stride 32 ─ 1x1 ───── 3x3 ── head

Without batch norm in the heads, which penalties do not go with. Shapes: N pictures of r x r, C mixed channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from talkface_core.face.layers import EqualizedConv2d
from talkface_core.judges.efficientnet import STAGES, EfficientNetLite0
from training.critics.interface import Critic

LEVELS = (2, 3, 5, 7)
"""Stages of EfficientNet that are looked at: the last of each resolution from a quarter on."""
LEVEL_SIZES = (7.5, 6.7, 6.5, 2.4)
"""Root mean square of their maps on 21 frames and stills of faces at 256 px: divided by it, all begin alike."""
MIXED_CHANNELS = (32, 48, 64, 64)
"""C of each level."""
HEAD_CHANNELS = 64
VERDICT_CELLS = 4
"""Every head's verdict is averaged to 4 x 4 places, so that no resolution outvotes the others."""
_MIX_SEED = 0


class Mixer(nn.Module):
    """Random layers that blend maps across channels and scales; the same for everybody, never trained or stored."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(_MIX_SEED)
        for index, (level, mixed) in enumerate(zip(LEVELS, MIXED_CHANNELS, strict=True)):
            # A level takes the width of the coarser one, whose result is added to it.
            width = MIXED_CHANNELS[min(index + 1, len(MIXED_CHANNELS) - 1)]
            self._add(f"across{index}", _random_kernel(STAGES[level - 1].channels, width, 1, generator))
            self._add(f"between{index}", _random_kernel(width, mixed, 3, generator))

    def _add(self, name: str, kernel: Tensor) -> None:
        self.register_buffer(name, kernel, persistent=False)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps of `LEVELS`, fine to coarse, to mixed maps [N, C, h, w] of the same resolutions."""
        mixed: list[Tensor] = []
        above: Tensor | None = None
        for index in reversed(range(len(LEVELS))):
            x = F.conv2d(maps[index] / LEVEL_SIZES[index], self.get_buffer(f"across{index}"))
            if above is not None:
                x = (x + F.interpolate(above, size=x.shape[2:], mode="bilinear", align_corners=False)) * 0.5**0.5
            above = F.conv2d(x, self.get_buffer(f"between{index}"), padding=1)
            mixed.append(above)
        return mixed[::-1]


def _random_kernel(num_in: int, num_out: int, kernel: int, generator: torch.Generator) -> Tensor:
    """[num_out, num_in, k, k] that keeps the variance of white maps."""
    return torch.randn(num_out, num_in, kernel, kernel, generator=generator) / (num_in * kernel**2) ** 0.5


class Head(nn.Module):
    """Mixed maps of one level to verdicts: two 3x3 convolutions with a halving where there is room, and a 1x1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = EqualizedConv2d(channels, HEAD_CHANNELS, 3)
        self.conv2 = EqualizedConv2d(HEAD_CHANNELS, HEAD_CHANNELS, 3)
        self.out = EqualizedConv2d(HEAD_CHANNELS, 1, 1, activate=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[N, C, h, w] to verdicts [N, 16] and the map before them."""
        x = self.conv1(x)
        if min(x.shape[2:]) >= 2 * VERDICT_CELLS:
            x = F.avg_pool2d(x, 2)
        x = self.conv2(x)
        return F.adaptive_avg_pool2d(self.out(x), VERDICT_CELLS).flatten(1), x


class ProjectedDiscriminator(Critic):
    """Pictures of any side from 32 on to verdicts [N, 4, 16]: of four heads at 4 x 4 places each.

    Args:
        network: EfficientNet-Lite0, frozen; may be shared.
    """

    def __init__(self, network: EfficientNetLite0) -> None:
        super().__init__()
        # Not as a submodule: a run neither trains nor stores what ships with the package.
        self._network = (network,)
        self.mixer = Mixer()
        self.heads = nn.ModuleList(Head(channels) for channels in MIXED_CHANNELS)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> ProjectedDiscriminator:
        """The frozen network moves along to another device."""
        self._network[0]._apply(fn, recurse)
        super()._apply(fn, recurse)
        return self

    def look(self, pictures: Tensor, *, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        # Depth-wise convolutions in bfloat16 are slow on CPUs, with or without hardware for it.
        half = dtype == torch.bfloat16 and pictures.device.type == "cuda"
        with torch.autocast(pictures.device.type, dtype=torch.bfloat16, enabled=half):
            maps = self._network[0].maps(pictures, LEVELS[-1])
            return self.mixer([maps[level - 1] for level in LEVELS])

    def judge(self, seen: list[Tensor], *, dtype: torch.dtype = torch.float32) -> tuple[Tensor, list[Tensor]]:
        half = dtype == torch.bfloat16
        with torch.autocast(seen[0].device.type, dtype=torch.bfloat16, enabled=half):
            verdicts, maps = zip(*(head(x) for head, x in zip(self.heads, seen, strict=True)), strict=True)
        return torch.stack([v.float() for v in verdicts], dim=1), list(maps)
