"""Train the landmark network on labelled tiles: `python -m training.landmarks.train --help`.

The schedule follows the wall clock, since nobody knows how fast a shared processor will be: warm-up, then a cosine to
zero over `--minutes`. The same command resumes; weights with a moving average (EMA) are what ships.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

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
from training.landmarks.face_training import Asset, FaceTraining, argument_parser, begin, train_on_faces


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


def main() -> None:
    parser = argument_parser(__doc__, minutes=40.0, batch=48)
    parser.add_argument("--fresh-schedule", action="store_true", help="keep the weights, start the schedule again")
    options = FaceTraining(**vars(parser.parse_args()))
    net, weights = LandmarkNet(), point_weights()
    run = begin(net, options)

    def losses(batch: LandmarkBatch) -> dict[str, Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            output = net(batch.crops.contiguous(memory_format=torch.channels_last))
        return landmark_losses(output, batch, weights)

    source = LandmarkCrops(options.faces, seed=options.seed + run.num_steps)
    train_on_faces(run, source, losses, LOSS_WEIGHTS, options, Asset("landmarks", CODE_VERSION, net.config))


if __name__ == "__main__":
    main()
