"""Train the face finder on made-up scenes: `python -m training.landmarks.finder_train --help`."""

from __future__ import annotations

import torch
from torch import Tensor

from talkface_core.tracking.face_finder import CODE_VERSION, FaceFinderNet, FinderOutput
from training.landmarks.face_training import Asset, FaceTraining, argument_parser, begin, train_on_faces
from training.landmarks.finder_data import FinderBatch, FinderScenes

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
    options = FaceTraining(**vars(argument_parser(__doc__, minutes=30.0, batch=24).parse_args()))
    net = FaceFinderNet()
    run = begin(net, options)

    def losses(batch: FinderBatch) -> dict[str, Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            output = net(batch.scenes.contiguous(memory_format=torch.channels_last))
        return finder_losses(output, batch)

    source = FinderScenes(options.faces, seed=options.seed + run.num_steps)
    train_on_faces(run, source, losses, LOSS_WEIGHTS, options, Asset("face_finder", CODE_VERSION, net.config))


if __name__ == "__main__":
    main()
