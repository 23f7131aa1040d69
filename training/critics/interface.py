"""What a discriminator is to the training step: it looks at pictures, and judges what it saw."""

from __future__ import annotations

from types import TracebackType

import torch
from torch import Tensor, nn


class Critic(nn.Module):
    """Two halves, so that a gradient penalty can act on what lies between them.

    Where nothing lies between them, `look` hands the pictures on.
    """

    def look(self, pictures: Tensor, *, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        """What the judging half sees of pictures [N, C, R, R] in [-1, 1]; gradients flow to the pictures."""
        raise NotImplementedError

    def judge(self, seen: list[Tensor], *, dtype: torch.dtype = torch.float32) -> tuple[Tensor, list[Tensor]]:
        """Logits (high: real), [N] or of several heads at several places [N, H, P]; and maps for feature matching.

        Args:
            dtype: of the feature maps; logits are float32.
        """
        raise NotImplementedError

    def forward(self, pictures: Tensor, *, dtype: torch.dtype = torch.float32) -> tuple[Tensor, list[Tensor]]:
        """Pictures [N, C, R, R] in [-1, 1] to logits and maps."""
        return self.judge(self.look(pictures, dtype=dtype), dtype=dtype)


class frozen:  # noqa: N801 (used as a statement)
    """Context in which a network's weights collect no gradient, while gradients flow through it."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network

    def __enter__(self) -> None:
        self._network.requires_grad_(False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._network.requires_grad_(True)
