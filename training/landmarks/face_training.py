"""What training the landmark network and the face finder has in common: options, batches made ahead, what is saved.

The same command resumes; weights with a moving average (EMA) are what ships.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from talkface_core.face_assets import save_asset
from talkface_core.output_path import output_file
from training.small_nets.loop import TimedSchedule, train_small
from training.small_nets.run import SmallRun

SAVE_EVERY_S = 120
WARMUP_STEPS = 200
CLIP_GRADIENT = 5.0

BatchT = TypeVar("BatchT")
BatchT_co = TypeVar("BatchT_co", covariant=True)


class BatchSource(Protocol[BatchT_co]):
    """Makes batches of labelled faces without end."""

    def __len__(self) -> int:
        """Faces that batches are made of."""

    def batch(self, size: int) -> BatchT_co:
        """The next batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceTraining:
    """What the command line says."""

    faces: Path
    out: Path
    state: Path
    minutes: float
    batch: int
    lr: float
    seed: int
    fresh_schedule: bool = False


@dataclass(frozen=True, slots=True)
class Asset:
    """What a weights file says of the network in it."""

    kind: str
    code_version: int
    config: Mapping[str, Any]


def argument_parser(description: str | None, *, minutes: float, batch: int) -> argparse.ArgumentParser:
    """The options of both commands, with these defaults."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="folder of training.landmarks.label")
    parser.add_argument("--out", type=output_file, required=True, help="weights file to write (.safetensors)")
    parser.add_argument("--state", type=output_file, required=True, help="checkpoint to resume from and to write")
    parser.add_argument("--minutes", type=float, default=minutes, help="wall time of the whole schedule")
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    return parser


def begin(net: nn.Module, options: FaceTraining) -> SmallRun:
    """A fresh run, or the one that the state holds."""
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    average = copy.deepcopy(net).requires_grad_(False)
    run = SmallRun(net, torch.optim.AdamW(net.parameters(), lr=options.lr, weight_decay=1e-2), average)
    if options.state.exists():
        run.resume(options.state)
        if options.fresh_schedule:
            run.spent_s = 0.0
    return run


def train_on_faces(
    run: SmallRun,
    source: BatchSource[BatchT],
    losses: Callable[[BatchT], Mapping[str, Tensor]],
    weights: Mapping[str, float],
    options: FaceTraining,
    asset: Asset,
) -> None:
    """Train to the end of the schedule; state and averaged weights are saved every two minutes and at the end."""
    num_parameters = sum(p.numel() for p in run.net.parameters())
    _say(f"{len(source)} tiles, {num_parameters} parameters, step {run.num_steps}")
    schedule = TimedSchedule(lr=options.lr, minutes=options.minutes, warmup_steps=WARMUP_STEPS)
    saved_s = time.monotonic()

    def save_when_due(progress: float) -> None:
        nonlocal saved_s
        if progress >= 1 or time.monotonic() - saved_s > SAVE_EVERY_S:
            saved_s = time.monotonic()
            run.save(options.state)
            assert run.average is not None  # `begin` made one
            tensors = run.average.state_dict()
            save_asset(options.out, tensors, kind=asset.kind, code_version=asset.code_version, config=asset.config)

    with closing(batches_ahead(source, options.batch)) as batches:
        train_small(
            run,
            schedule,
            lambda: losses(next(batches)),
            weights,
            clip_gradient=CLIP_GRADIENT,
            log=_say,
            after_step=save_when_due,
        )


def batches_ahead(source: BatchSource[BatchT], size: int) -> Generator[BatchT, None, None]:
    """Batches without end; one is made while the last one trains."""
    with ThreadPoolExecutor(max_workers=1) as maker:
        coming = maker.submit(source.batch, size)
        while True:
            batch, coming = coming.result(), maker.submit(source.batch, size)
            yield batch


def _say(text: str) -> None:
    print(text, flush=True)
