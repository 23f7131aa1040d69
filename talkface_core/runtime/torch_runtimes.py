"""Drawing with torch: float32 on the CPU as the reference, bfloat16 as one captured graph on CUDA."""

from __future__ import annotations

import copy
import threading

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from talkface_core.errors import RuntimeUnavailableError
from talkface_core.face.networks import DrawFrame, FaceNetworks
from talkface_core.runtime.interface import FloatArray, example_inputs


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
