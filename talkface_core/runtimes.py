"""What draws a frame: one interface, three runtimes that agree.

`torch-cpu` is the float32 reference. `openvino` runs the same graph on CPUs, in bfloat16 where the CPU multiplies it
natively (AMX, AVX-512 BF16), in float32 elsewhere. `torch-cuda` runs bfloat16 feature maps as one captured CUDA graph.
All three take the same arrays: mel [1, 1, 80, M], style [1, V], base_ws [1, L, D], and give [R, R, 3] uint8.
"""

from __future__ import annotations

import copy
import threading
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from talkface_core.errors import RuntimeUnavailableError
from talkface_core.face_networks import DrawFrame, FaceNetworks
from talkface_core.interfaces import STYLE_VALUES
from talkface_core.mel import MEL_BINS, WINDOW_COLUMNS

RUNTIME_NAMES = ("auto", "torch-cpu", "torch-cuda", "openvino")

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


class TorchCpuRuntime:
    """Float32, eager: what the others are compared with."""

    name = "torch cpu fp32"
    frames_at_once = 1

    def __init__(self, networks: FaceNetworks) -> None:
        self._graph = DrawFrame(networks)

    @torch.inference_mode()
    def draw(self, mel: FloatArray, style: FloatArray, base_ws: FloatArray) -> NDArray[np.uint8]:
        picture = self._graph(torch.from_numpy(mel), torch.from_numpy(style), torch.from_numpy(base_ws))
        frame: NDArray[np.uint8] = picture[0].numpy()
        return frame


class TorchCudaRuntime:
    """Bfloat16 feature maps; captured once as a CUDA graph, because single frames are bound by kernel launches.

    Raises:
        RuntimeUnavailableError: no CUDA device.
    """

    name = "torch cuda bf16"
    frames_at_once = 1
    _WARM_UP_RUNS = 3
    """Before capture, so that cuDNN has chosen its kernels and allocated its workspace."""

    def __init__(self, networks: FaceNetworks) -> None:
        if not torch.cuda.is_available():
            raise RuntimeUnavailableError(
                "runtime torch-cuda: torch sees no CUDA device; install a driver and a CUDA build of torch, "
                "or use --runtime openvino"
            )
        device = torch.device("cuda")
        # A copy: the caller's networks stay on the CPU.
        graph = DrawFrame(copy.deepcopy(networks).to(device), torch.bfloat16)
        self._inputs = tuple(t.to(device) for t in example_inputs(networks))
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.inference_mode(), torch.cuda.stream(stream):
            for _ in range(self._WARM_UP_RUNS):
                graph(*self._inputs)
        torch.cuda.current_stream().wait_stream(stream)
        self._captured = torch.cuda.CUDAGraph()
        with torch.inference_mode(), torch.cuda.graph(self._captured):
            self._output: Tensor = graph(*self._inputs)
        self._networks = graph  # the captured kernels read its weights
        self._lock = threading.Lock()  # one set of buffers

    @torch.inference_mode()
    def draw(self, mel: FloatArray, style: FloatArray, base_ws: FloatArray) -> NDArray[np.uint8]:
        with self._lock:
            for held, new in zip(self._inputs, (mel, style, base_ws), strict=True):
                held.copy_(torch.from_numpy(new))
            self._captured.replay()
            frame: NDArray[np.uint8] = self._output[0].cpu().numpy()
        return frame


def make_runtime(name: str, networks: FaceNetworks) -> FrameRuntime:
    """The runtime of that name; "auto" takes CUDA where there is a device, else OpenVINO.

    Raises:
        RuntimeUnavailableError: it cannot run here; the message says why.
        ValueError: there is no runtime of that name.
    """
    if name not in RUNTIME_NAMES:
        raise ValueError(f"runtime {name!r} is unknown; choose one of {', '.join(RUNTIME_NAMES)}")
    if name == "auto":
        name = "torch-cuda" if torch.cuda.is_available() else "openvino"
    if name == "torch-cuda":
        return TorchCudaRuntime(networks)
    if name == "torch-cpu":
        return TorchCpuRuntime(networks)
    from talkface_core.runtime_openvino import OpenVinoRuntime  # 0.3 s to import

    return OpenVinoRuntime(networks)
