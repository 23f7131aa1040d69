"""Numbers of a run: means since the last line go to `stats.jsonl` and TensorBoard, and to the terminal as one line.

Sums stay on the device and are read when a line is written; a non-finite loss is remembered with its step.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.distributed import World

QUIET_S = 20.0
"""A run that says nothing for longer looks as if it hung; a step of a large model takes seconds on a CPU."""


class NonFiniteLossError(RuntimeError):
    """A loss became NaN or infinite; the run stops before a checkpoint can take it in."""

    def __init__(self, step: int, term: str) -> None:
        super().__init__(
            f"step {step}: {term} is not finite. Nothing of this step was kept; the last checkpoint is from before. "
            "Lower the learning rates (--train.lr, --train.lr_generator) and repeat the command to go on from it"
        )
        self.step = step
        self.term = term


class StatsWriter:
    """Writes rows in the main process."""

    def __init__(self, folder: Path, world: World, *, tensorboard: bool) -> None:
        self._world = world
        self._folder = folder
        self._sums: dict[str, Tensor] = {}
        self._count: dict[str, int] = {}
        self._bad: dict[str, Tensor] = {}
        self._board: Any = None
        self._since = time.monotonic()
        self._images_since = 0
        if world.is_main:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = (folder / "stats.jsonl").open("a")
            if tensorboard:
                try:
                    from torch.utils.tensorboard import SummaryWriter

                    self._board = SummaryWriter(str(folder / "tensorboard"))
                except ImportError:
                    world.log("tensorboard is not installed: statistics go to stats.jsonl only")

    def add(self, terms: Mapping[str, Tensor], step: int) -> None:
        """Accumulate one step's terms without waiting for the device."""
        for name, value in terms.items():
            value = value.detach().float()
            self._sums[name] = self._sums.get(name, torch.zeros_like(value)) + value
            self._count[name] = self._count.get(name, 0) + 1
            bad = self._bad.get(name, torch.full_like(value, -1))
            self._bad[name] = torch.where((bad < 0) & ~torch.isfinite(value), torch.full_like(value, float(step)), bad)
        if self._world.reads_are_free:
            self.check_finite()

    def check_finite(self) -> None:
        """Raise NonFiniteLossError when a term was not finite since the last line."""
        for name, bad in self._bad.items():
            if (step := int(bad)) >= 0:
                raise NonFiniteLossError(step, name)

    def write(self, step: int, images: int, extra: Mapping[str, float]) -> dict[str, float]:
        """Write the means since the last line and start new ones; returns the row."""
        self.check_finite()
        names = sorted(self._sums)
        row: dict[str, float] = {"step": step, "images": images}
        if names:
            means = torch.stack([self._sums[n] / self._count[n] for n in names])
            row |= dict(zip(names, self._world.mean(means).tolist(), strict=True))
        now = time.monotonic()
        row["time/images_per_s"] = (images - self._images_since) / max(now - self._since, 1e-9)
        row |= extra
        self._sums, self._count, self._bad = {}, {}, {}
        self._since, self._images_since = now, images
        self._put(row, step)
        return row

    def write_validation(self, step: int, values: Mapping[str, float | None]) -> None:
        """A row of its own for validation."""
        self._put({"step": step, **{k: v for k, v in values.items() if v is not None}}, step)

    def start_counting(self, images: int) -> None:
        """Images drawn before this process began do not count for its speed."""
        self._since, self._images_since = time.monotonic(), images

    def close(self) -> None:
        """Flush everything."""
        if self._world.is_main:
            self._file.close()
            if self._board is not None:
                self._board.close()

    def _put(self, row: Mapping[str, float], step: int) -> None:
        if not self._world.is_main:
            return
        finite = {k: (v if math.isfinite(v) else None) for k, v in row.items()}
        self._file.write(json.dumps(finite) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in row.items():
                if name not in ("step",) and math.isfinite(value):
                    self._board.add_scalar(name, value, step)


class ProgressTalk:
    """Says how a run goes: with each row of statistics, after the first step, and when it has been quiet for long."""

    def __init__(self, log: Callable[[str], None], now_s: Callable[[], float] = time.monotonic) -> None:
        self._log, self._now_s = log, now_s
        self._said_s: float | None = None

    def tell(self, step: int, done: float, elapsed_s: float, row: Mapping[str, float] | None = None) -> None:
        """After step `step`, at share `done` of the run; `row` is what was written to the statistics."""
        now_s = self._now_s()
        left_s = elapsed_s * (1 - done) / done if done > 0 else None
        if row is not None:
            self._log(progress_line(row, done, left_s))
        elif self._said_s is None or now_s - self._said_s >= QUIET_S:
            self._log(progress_line({"step": step}, done, left_s))
        else:
            return
        self._said_s = now_s


def progress_line(row: Mapping[str, float], done: float, left_s: float | None) -> str:
    """One line for a person: step, share done, speed, time left, losses."""
    left = "" if left_s is None else f"  {_duration(left_s)} left"
    losses = "  ".join(f"{k.split('/')[-1]} {v:.4g}" for k, v in row.items() if k.startswith(("loss/", "reg/")))
    speed = f"  {row['time/images_per_s']:.1f} images/s" if "time/images_per_s" in row else ""
    return f"step {int(row['step'])}  {100 * done:.1f} %{speed}{left}  {losses}".rstrip()


def _duration(seconds: float) -> str:
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours} h {m:02d} min" if hours else f"{m} min {s:02d} s"
