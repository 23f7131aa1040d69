"""Train the face finder on made-up scenes: `python -m training.landmarks.finder_train --help`."""

from __future__ import annotations

import argparse
import copy
import math
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor, nn

from talkface_core.face_assets import save_asset
from talkface_core.tracking.face_finder import CODE_VERSION, FaceFinderNet, FinderOutput
from training.landmarks.finder_data import FinderBatch, FinderScenes
from training.landmarks.train import learning_rate, save_state, update_average

LOSS_WEIGHTS = {"loss/centre": 1.0, "loss/size": 1.0, "loss/offset": 0.5}


def centre_focal_loss(logits: Tensor, heat: Tensor, centre_mask: Tensor) -> Tensor:
    """Penalty-reduced focal loss of CenterNet (equation 1 of Zhou et al., 2019; alpha 2, beta 4)."""
    probability = logits.sigmoid().clamp(1e-5, 1 - 1e-5)
    at_centre = -((1 - probability) ** 2) * probability.log() * centre_mask
    elsewhere = -((1 - heat) ** 4) * probability**2 * (1 - probability).log() * (1 - centre_mask)
    return (at_centre + elsewhere).sum() / centre_mask.sum().clamp_min(1)


def finder_losses(output: FinderOutput, batch: FinderBatch) -> dict[str, Tensor]:
    """Loss terms: where, how large, where in the cell."""
    size_error = (output.log_size - batch.log_size).abs() * batch.size_mask
    offset_error = (output.offset - batch.offset).abs() * batch.centre_mask
    return {
        "loss/centre": centre_focal_loss(output.centre_logits, batch.heat, batch.centre_mask),
        "loss/size": size_error.sum() / batch.size_mask.sum().clamp_min(1),
        "loss/offset": offset_error.sum() / batch.centre_mask.sum().clamp_min(1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="folder of training.landmarks.label")
    parser.add_argument("--out", type=Path, required=True, help="weights file to write (.safetensors)")
    parser.add_argument("--state", type=Path, required=True, help="checkpoint to resume from and to write")
    parser.add_argument("--minutes", type=float, default=30.0, help="wall time of the whole schedule")
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    net = FaceFinderNet()
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    average = copy.deepcopy(net).requires_grad_(False)
    optimiser = torch.optim.AdamW(net.parameters(), lr=args.lr, weight_decay=1e-2)
    num_steps, spent_s = 0, 0.0
    if args.state.exists():
        state = torch.load(args.state, weights_only=True)
        net.load_state_dict(state["net"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        num_steps, spent_s = state["num_steps"], state["spent_s"]
    source = FinderScenes(args.faces, seed=args.seed + num_steps)
    print(f"{len(source)} tiles, {sum(p.numel() for p in net.parameters())} parameters, step {num_steps}", flush=True)

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
            output = net(batch.scenes.contiguous(memory_format=torch.channels_last))
        losses = finder_losses(output, batch)
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
                args.out, average.state_dict(), kind="face_finder", code_version=CODE_VERSION, config=average.config
            )
    maker.shutdown()


if __name__ == "__main__":
    main()
