"""What draws a frame: the interface that all runtimes share, and the shapes of their inputs.

All take the same arrays: mel [1, 1, 80, M], style [1, V], base_ws [1, L, D], and give [R, R, 3] uint8.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from talkface_core.face.networks import FaceNetworks
from talkface_core.interfaces import STYLE_VALUES
from talkface_core.sound.mel import MEL_BINS, WINDOW_COLUMNS

FloatArray = NDArray[np.float32]


class FrameRuntime(Protocol):
    """Draws frames of any identity, from any thread.

    Identities differ in an input (`base_ws`) only: a call's renderers share one runtime. Compiling again when a peer's
    identity arrives would take seconds of the processor from the frames of the running call.
    """

    name: str
    """For reports: "openvino bf16", "torch cuda bf16", ..."""
    frames_at_once: int
    """Frames that are drawn faster side by side, each from a thread of its own, than one after the other."""

    def draw(self, mel: FloatArray, style: FloatArray, base_ws: FloatArray) -> NDArray[np.uint8]:
        """mel [1, 1, 80, M], style [1, V], base_ws [1, L, D] -> [R, R, 3]."""
        ...


def example_inputs(networks: FaceNetworks) -> tuple[Tensor, Tensor, Tensor]:
    """Zeros of the shapes that `draw` takes."""
    config = networks.config
    return (
        torch.zeros(1, 1, MEL_BINS, WINDOW_COLUMNS),
        torch.zeros(1, STYLE_VALUES),
        torch.zeros(1, config.num_layers, config.latent_dim),
    )
