"""The loop of the small networks: one process, one optimiser, a schedule by the wall clock.

Nobody knows how fast a shared processor will be: the rate warms up over some steps and falls along a cosine to zero
when the time is up. Batches, losses and what is saved beside the state belong to the caller.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.small_nets.run import SmallRun

LOG_EVERY = 50
"""Steps per line of mean losses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedSchedule:
    """Learning rate and end of a run."""

    lr: float
    """Highest learning rate."""
    minutes: float
    """Wall time of the whole schedule, over all resumptions."""
    warmup_steps: int
    max_steps: int = 0
    """Stop after so many steps even if there is time left; 0: never."""

    def progress(self, run: SmallRun) -> float:
        """Share of the schedule that is done; 1 and above is the end."""
        by_time = run.spent_s / (60 * self.minutes)
        return max(by_time, run.num_steps / self.max_steps) if self.max_steps else by_time

    def learning_rate(self, num_steps: int, progress: float) -> float:
        """Linear warm-up by steps, cosine to zero at progress 1."""
        warmup = min(1.0, (num_steps + 1) / self.warmup_steps)
        return self.lr * warmup * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def train_small(
    run: SmallRun,
    schedule: TimedSchedule,
    losses: Callable[[], Mapping[str, Tensor]],
    weights: Mapping[str, float] | None = None,
    *,
    clip_gradient: float = math.inf,
    log: Callable[[str], None] | None = None,
    after_step: Callable[[float], None] | None = None,
) -> None:
    """Train in place to the end of the schedule.

    Args:
        losses: the terms of the next batch, scalars.
        weights: of each term in the sum that falls; None: all 1.
        clip_gradient: largest norm of the gradient.
        log: gets a line with the mean terms every LOG_EVERY steps.
        after_step: gets the progress after each step; 1 and above after the last.

    Raises:
        FloatingPointError: the loss is not finite; nothing of that step is kept.
    """
    sums: dict[str, float] = {}
    last_s = time.monotonic()
    while (progress := schedule.progress(run)) < 1:
        for group in run.optimiser.param_groups:
            group["lr"] = schedule.learning_rate(run.num_steps, progress)
        values = _step(run, losses(), weights, clip_gradient)
        now_s = time.monotonic()
        run.spent_s, last_s = run.spent_s + now_s - last_s, now_s
        for name, value in values.items():
            sums[name] = sums.get(name, 0.0) + value / LOG_EVERY
        if run.num_steps % LOG_EVERY == 0:
            if log is not None:
                shown = " ".join(f"{name} {value:.4f}" for name, value in sums.items())
                log(f"step {run.num_steps} ({run.spent_s / 60:.1f} min, {schedule.progress(run):.0%}): {shown}")
            sums = {}
        if after_step is not None:
            after_step(schedule.progress(run))


def _step(
    run: SmallRun, losses: Mapping[str, Tensor], weights: Mapping[str, float] | None, clip_gradient: float
) -> dict[str, float]:
    """One step of the optimiser; returns the terms, unweighted."""
    parts = [value if weights is None else weights[name] * value for name, value in losses.items()]
    total = torch.stack(parts).sum()
    values = {name: value.item() for name, value in losses.items()}
    if not math.isfinite(total.item()):
        raise FloatingPointError(f"the loss is not finite at step {run.num_steps}: {values}; lower --lr")
    run.optimiser.zero_grad(set_to_none=True)
    total.backward()
    if clip_gradient < math.inf:
        nn.utils.clip_grad_norm_(run.net.parameters(), clip_gradient)
    run.optimiser.step()
    run.num_steps += 1
    run.update_average()
    return values
