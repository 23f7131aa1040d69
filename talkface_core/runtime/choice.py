"""Three runtimes that agree, by name.

`torch-cpu` is the float32 reference. `openvino` runs the same graph on CPUs, in bfloat16 where the CPU multiplies it
natively (AMX, AVX-512 BF16), in float32 elsewhere. `torch-cuda` runs bfloat16 feature maps as one captured CUDA graph.
"""

from __future__ import annotations

import torch

from talkface_core.face.networks import FaceNetworks
from talkface_core.runtime.interface import FrameRuntime
from talkface_core.runtime.torch_runtimes import TorchCpuRuntime, TorchCudaRuntime

RUNTIME_NAMES = ("auto", "torch-cpu", "torch-cuda", "openvino")


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
    from talkface_core.runtime.openvino_cpu import OpenVinoRuntime  # 0.3 s to import

    return OpenVinoRuntime(networks)
