"""Running the landmark network on one crop at a time, as fast as the machine allows: OpenVINO, else torch."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from talkface_core.errors import RuntimeUnavailableError
from talkface_core.tracking.landmarks import CROP_PX, LandmarkNet

RUNTIMES = ("auto", "openvino", "torch")


class _PointsAndScore(nn.Module):
    """What tracking needs of the network, as plain tensors for export."""

    def __init__(self, net: LandmarkNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        output = self.net(crops)
        return output.points, output.framing_logits.softmax(dim=1)


class LandmarkRunner:
    """Crop in, points and framing probabilities out.

    Args:
        net: in eval mode.
        runtime: "openvino", "torch", or "auto" (the first that runs here).
        num_threads: of OpenVINO; 1 leaves the other cores to whoever draws.

    Raises:
        RuntimeUnavailableError: OpenVINO was asked for and cannot run.
        ValueError: no such runtime.
    """

    def __init__(self, net: LandmarkNet, *, runtime: str = "auto", num_threads: int = 1) -> None:
        if runtime not in RUNTIMES:
            raise ValueError(f"runtime must be one of {', '.join(RUNTIMES)}, got {runtime!r}")
        self._module = _PointsAndScore(net).eval()
        self.runtime = "torch"
        self._run: Callable[[Tensor], tuple[Tensor, Tensor]] = self._module
        if runtime != "torch":
            try:
                self._run = _compile_openvino(self._module, num_threads)
                self.runtime = "openvino"
            except (ImportError, RuntimeError) as error:
                if runtime == "openvino":
                    raise RuntimeUnavailableError(f"OpenVINO cannot run the landmark network: {error}") from error

    @torch.inference_mode()
    def __call__(self, crop: Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """One crop [1, 3, 128, 128] in [-1, 1]: points [68, 2] in [-1, 1], framing probabilities [3]."""
        points, framing = self._run(crop)
        return points[0].numpy(), framing[0].numpy()


def _compile_openvino(module: nn.Module, num_threads: int) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    from talkface_core.runtime.quiet_openvino import openvino as ov

    example = torch.zeros(1, 3, CROP_PX, CROP_PX)
    with warnings.catch_warnings():
        # The tracer warns about the shape checks: the shape is fixed here.
        warnings.simplefilter("ignore")
        model = ov.convert_model(module, example_input=example, input=[(1, 3, CROP_PX, CROP_PX)])
    # Sub-pixel means of heat maps need more mantissa than bfloat16 has.
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": num_threads, "PERFORMANCE_HINT": "LATENCY"}
    compiled = ov.compile_model(model, "CPU", options)

    def run(crop: Tensor) -> tuple[Tensor, Tensor]:
        result = compiled([crop.numpy()])
        return torch.from_numpy(result[0].copy()), torch.from_numpy(result[1].copy())

    return run
