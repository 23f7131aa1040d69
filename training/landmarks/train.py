"""Train the landmark network on labelled tiles: `python -m training.landmarks.train --help`.

The schedule follows the wall clock, since nobody knows how fast a shared processor will be: warm-up, then a cosine to
zero over `--minutes`. The same command resumes; weights with a moving average (EMA) are what ships.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from talkface_core.face_assets import save_asset
from talkface_core.tracking.landmarks import (
    CODE_VERSION,
    EYES,
    INNER_LIPS,
    JAW,
    MOUTH,
    NUM_POINTS,
    LandmarkNet,
    LandmarkOutput,
    cell_centres,
)
from training.landmarks.data import IGNORED, LandmarkBatch, LandmarkCrops


def point_weights() -> Tensor:
    """[68] mean 1: lips and eyes carry speech and style; the jaw of the teacher is the least certain."""
    weights = torch.ones(NUM_POINTS)
    weights[list(MOUTH)] = 1.6
    weights[list(INNER_LIPS)] = 2.0
    weights[list(EYES)] = 1.8
    weights[list(JAW)] = 0.5
    return weights / weights.mean()


def heatmap_divergence(log_heatmaps: Tensor, points: Tensor, sigma_cells: float = 1.0) -> Tensor:
    """[B, 68] cross entropy between a Gaussian at the true point and the heat map (DSNT regulariser)."""
    height, width = log_heatmaps.shape[2:]
    sigma_x, sigma_y = 2 * sigma_cells / width, 2 * sigma_cells / height
    x = (cell_centres(width, log_heatmaps) - points[..., :1]) / sigma_x  # [B, 68, W]
    y = (cell_centres(height, log_heatmaps) - points[..., 1:]) / sigma_y  # [B, 68, H]
    target_x, target_y = (-(x**2) / 2).softmax(dim=2), (-(y**2) / 2).softmax(dim=2)
    target = target_y[:, :, :, None] * target_x[:, :, None, :]
    return -(target * log_heatmaps).sum(dim=(2, 3))


def landmark_losses(output: LandmarkOutput, batch: LandmarkBatch, weights: Tensor) -> dict[str, Tensor]:
    """Loss terms; points are measured in units of the face's size, so that small faces count as much as large."""
    low, high = batch.points.amin(dim=1), batch.points.amax(dim=1)
    size = (high - low).amax(dim=1)[:, None]
    inside = (batch.points.abs() < 1).all(dim=2).float() * batch.has_points[:, None]
    weight = inside * weights
    distance = (output.points - batch.points).abs().sum(dim=2) / size
    total = weight.sum().clamp_min(1)
    return {
        "loss/points": (distance * weight).sum() / total,
        "loss/heatmaps": (heatmap_divergence(output.log_heatmaps, batch.points) * weight).sum() / total,
        "loss/framing": F.cross_entropy(output.framing_logits, batch.framing, ignore_index=IGNORED),
    }


LOSS_WEIGHTS = {"loss/points": 10.0, "loss/heatmaps": 0.1, "loss/framing": 0.2}


def update_average(average: nn.Module, net: nn.Module, num_steps: int) -> None:
    """EMA of weights and batch-norm statistics; short memory at first."""
    decay = min(0.999, (1 + num_steps) / (10 + num_steps))
    with torch.no_grad():
        for old, new in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
            if old.is_floating_point():
                old.lerp_(new, 1 - decay)
            else:
                old.copy_(new)


def learning_rate(peak: float, num_steps: int, progress: float) -> float:
    """Linear warm-up over 200 steps, cosine to zero at progress 1."""
    return peak * min(1.0, (num_steps + 1) / 200) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="folder of training.landmarks.label")
    parser.add_argument("--out", type=Path, required=True, help="weights file to write (.safetensors)")
    parser.add_argument("--state", type=Path, required=True, help="checkpoint to resume from and to write")
    parser.add_argument("--minutes", type=float, default=40.0, help="wall time of the whole schedule")
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fresh-schedule", action="store_true", help="keep the weights, start the schedule again")
    args = parser.parse_args()

    net = LandmarkNet()
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    average = copy.deepcopy(net).requires_grad_(False)
    optimiser = torch.optim.AdamW(net.parameters(), lr=args.lr, weight_decay=1e-2)
    num_steps, spent_s = 0, 0.0
    if args.state.exists():
        state = torch.load(args.state, weights_only=True)
        net.load_state_dict(state["net"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        num_steps, spent_s = state["num_steps"], 0.0 if args.fresh_schedule else state["spent_s"]
    source = LandmarkCrops(args.faces, seed=args.seed + num_steps)
    print(f"{len(source)} tiles, {sum(p.numel() for p in net.parameters())} parameters, step {num_steps}", flush=True)

    weights = point_weights()
    sums: dict[str, float] = {}
    last_s, saved_s = time.monotonic(), time.monotonic()
    # One batch is made while the last one trains.
    maker = ThreadPoolExecutor(max_workers=1)
    coming = maker.submit(source.batch, args.batch)
    while spent_s < args.minutes * 60:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(args.lr, num_steps, spent_s / (args.minutes * 60))
        batch, coming = coming.result(), maker.submit(source.batch, args.batch)
        with torch.autocast("cpu", torch.bfloat16):
            output = net(batch.crops.contiguous(memory_format=torch.channels_last))
        losses = landmark_losses(output, batch, weights)
        total = sum((LOSS_WEIGHTS[name] * value for name, value in losses.items()), torch.zeros(()))
        if not math.isfinite(total.item()):
            raise FloatingPointError(f"the loss is not finite at step {num_steps}: {losses}")
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()
        num_steps += 1
        update_average(average, net, num_steps)
        now_s = time.monotonic()
        spent_s, last_s = spent_s + now_s - last_s, now_s
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + value.item() / 50
        if num_steps % 50 == 0:
            text = " ".join(f"{name} {value:.4f}" for name, value in sums.items())
            print(f"step {num_steps} ({spent_s / 60:.1f} min): {text}", flush=True)
            sums = {}
        if now_s - saved_s > 120 or spent_s >= args.minutes * 60:
            saved_s = now_s
            save_state(args.state, net, average, optimiser, num_steps, spent_s)
            save_asset(
                args.out, average.state_dict(), kind="landmarks", code_version=CODE_VERSION, config=average.config
            )
    maker.shutdown()


def save_state(
    path: Path, net: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer, num_steps: int, spent_s: float
) -> None:
    """Write a checkpoint; a full disk leaves the last one as it was."""
    state = {
        "net": net.state_dict(),
        "average": average.state_dict(),
        "optimiser": optimiser.state_dict(),
        "num_steps": num_steps,
        "spent_s": spent_s,
    }
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


if __name__ == "__main__":
    main()
