"""What changes while a small network trains; saved, and read again to go on."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from talkface_core.module_fill import fill_module
from talkface_core.whole_file import write_whole

_ADVICE = "start without it"


@dataclass(slots=True)
class SmallRun:
    """Network, optimiser, running average and counters."""

    net: nn.Module
    optimiser: torch.optim.Optimizer
    average: nn.Module | None = None
    """EMA of the network, where that is what ships."""
    ema_decay: float = 0.999
    num_steps: int = 0
    spent_s: float = 0.0
    """Wall time so far, over all resumptions."""

    def save(self, path: Path) -> None:
        """Write a checkpoint; a full disk leaves the last one as it was."""
        state = {
            "net": self.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "num_steps": self.num_steps,
            "spent_s": self.spent_s,
        }
        if self.average is not None:
            state["average"] = self.average.state_dict()
        content = io.BytesIO()
        torch.save(state, content)
        write_whole(path, content.getvalue())

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint of the same network.

        Raises:
            WeightsError: it holds another network, or values that are not finite.
        """
        state = torch.load(path, weights_only=True)
        fill_module(self.net, state["net"], f"{path}: net", _ADVICE)
        if self.average is not None:
            fill_module(self.average, state["average"], f"{path}: average", _ADVICE)
        self.optimiser.load_state_dict(state["optimiser"])
        self.num_steps, self.spent_s = state["num_steps"], state["spent_s"]

    @torch.no_grad()
    def update_average(self) -> None:
        """Move the average towards weights and batch-norm statistics; quicker at first, so that the start is gone."""
        if self.average is None:
            return
        decay = min(self.ema_decay, (1 + self.num_steps) / (10 + self.num_steps))
        for old, new in zip(self.average.state_dict().values(), self.net.state_dict().values(), strict=True):
            if old.is_floating_point():
                old.lerp_(new, 1 - decay)
            else:
                old.copy_(new)
