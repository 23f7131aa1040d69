"""The Inception network that FID is defined on, from its published PyTorch port; weights by path, never bundled.

FID's network differs from torchvision's Inception v3 in the pooling branches (padding is not averaged; the last block
takes a maximum) and in its 1008 classes. File: `pt_inception-2015-12-05-6726825d.pth` of the pytorch-fid project.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from talkface_core.errors import WeightsError
from training.metrics.result import Unavailable

NUM_FEATURES = 2048


def build_fid_inception() -> nn.Module:
    """torchvision's Inception v3 with FID's pooling; random weights, evaluation mode."""
    from torchvision.models import inception as tv

    def tensorflow_mean_pool(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, kernel_size=3, stride=1, padding=1, count_include_pad=False)

    def max_pool(x: Tensor) -> Tensor:
        return F.max_pool2d(x, kernel_size=3, stride=1, padding=1)

    def repool(block: nn.Module, pool: Callable[[Tensor], Tensor]) -> None:
        """Let the last branch of an Inception block pool with `pool`."""
        original: Callable[[Tensor], list[Tensor]] = block._forward  # type: ignore[assignment]
        convolution = block.get_submodule("branch_pool")

        def branches(x: Tensor) -> list[Tensor]:
            return [*original(x)[:-1], convolution(pool(x))]

        block._forward = branches  # type: ignore[assignment]

    network = tv.Inception3(num_classes=1008, aux_logits=False, init_weights=False)
    for name in ("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e", "Mixed_7b"):
        repool(network.get_submodule(name), tensorflow_mean_pool)
    repool(network.Mixed_7c, max_pool)
    network.fc = nn.Identity()
    return network.eval().requires_grad_(False)


class FidFeatures:
    """Frames to the 2048 features that FID compares."""

    def __init__(self, weights: Path, device: torch.device | str = "cpu") -> None:
        """
        Raises:
            WeightsError: the file is missing or is not the Inception port.
        """
        self.network = build_fid_inception()
        try:
            state = torch.load(weights, map_location="cpu", weights_only=True)
            state = {name: value for name, value in state.items() if not name.startswith("fc.")}
            self.network.load_state_dict(state)
        except Exception as error:  # torch raises a different type for each way in which a file can be wrong
            raise WeightsError(
                f"{weights}: not the FID Inception weights ({type(error).__name__}: {str(error)[:200]}); "
                "give pt_inception-2015-12-05-6726825d.pth of the pytorch-fid project"
            ) from error
        self.network.to(device)
        self.device = device

    @torch.inference_mode()
    def __call__(self, frames: Tensor) -> Tensor:
        """[N, 3, H, W] in [0, 1] to [N, 2048]; resized to 299 by bilinear sampling, as the port does."""
        x = F.interpolate(frames.to(self.device), size=(299, 299), mode="bilinear", align_corners=False)
        features: Tensor = self.network(2 * x - 1)
        return features


def load_fid_features(weights: Path | None) -> FidFeatures | Unavailable:
    """The feature network, or why there is none.

    Raises:
        WeightsError: a path was given and the file is wrong (a wrong file is an error, an absent option is not).
    """
    if weights is None:
        return Unavailable("FID needs the Inception weights: pass --inception pt_inception-2015-12-05-6726825d.pth")
    return FidFeatures(weights)
