"""The CPU runtime: the drawing graph compiled by OpenVINO.

docs/performance.md has its milliseconds per frame in both number types, on one thread and on two, beside torch's.
Converting the networks takes seconds, so the converted graph is kept in the user's cache folder, under a name that
covers weights, code and OpenVINO's version; a damaged or missing entry is made again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from talkface_core.errors import RuntimeUnavailableError
from talkface_core.face.networks import DrawFrame, FaceNetworks
from talkface_core.runtime.interface import FloatArray, example_inputs
from talkface_core.runtime.quiet_openvino import openvino

MAX_CACHED_GRAPHS = 4
_GRAPH_SOURCES = (
    "sound/audio_encoder.py",
    "face/networks.py",
    "face/generator.py",
    "face/layers.py",
    "style/encoder.py",
)
"""Files whose text decides what the graph computes."""


def cpu_has_bf16() -> bool:
    """The CPU multiplies bfloat16 natively, so that it is the faster type."""
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class DrawingPlan(NamedTuple):
    """How the cores share the frames."""

    frames_at_once: int
    num_threads: int
    """Of all those frames together."""


def drawing_plan(precision: str) -> DrawingPlan:
    """In bfloat16 one frame at a time on half the cores this process may use, in float32 two at once on all of them.

    Threads of one frame wait for each other after every layer. With both ends of a call and other work on two cores,
    two threads in bfloat16 took 31 ms a frame (95 %: 51) where one took 19 (28); alone on the machine one is still in
    time. In float32 it is not (40 ms on a core without AVX-512): two threads on one frame spend 50 ms of processor
    time, two frames side by side 40 each.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if precision == "bf16":
        return DrawingPlan(1, max(1, cores // 2))
    return DrawingPlan(min(2, cores), cores)


def graph_cache_folder() -> Path:
    """Where converted graphs are kept: $XDG_CACHE_HOME or ~/.cache, then talkface/graphs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "talkface" / "graphs"


class OpenVinoRuntime:
    """Compiles on construction; `draw` keeps its buffers, a set for each frame that it draws at once.

    Args:
        networks: in eval mode, float32.
        precision: "bf16" or "f32"; None: what this CPU is fastest in.
        plan: how the cores share the frames; None: as `drawing_plan` says.
        cache: folder for converted graphs.

    Raises:
        RuntimeUnavailableError: OpenVINO cannot compile the model here.
    """

    def __init__(
        self,
        networks: FaceNetworks,
        *,
        precision: str | None = None,
        plan: DrawingPlan | None = None,
        cache: Path | None = None,
    ) -> None:
        precision = precision or ("bf16" if cpu_has_bf16() else "f32")
        self.name = f"openvino {'bf16' if precision == 'bf16' else 'fp32'}"
        plan = plan or drawing_plan(precision)
        self.frames_at_once = plan.frames_at_once
        options = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": plan.num_threads,
            "NUM_STREAMS": plan.frames_at_once,
        }
        self._idle: SimpleQueue[Any] = SimpleQueue()
        try:
            model = load_or_convert(networks, cache or graph_cache_folder())
            compiled = openvino.Core().compile_model(model, "CPU", options)
            for _ in range(plan.frames_at_once):
                self._idle.put(compiled.create_infer_request())
        except RuntimeError as error:
            raise RuntimeUnavailableError(f"runtime openvino: {error}; use --runtime torch-cpu") from error

    def draw(self, mel: FloatArray, style: FloatArray, base_ws: FloatArray) -> NDArray[np.uint8]:
        request = self._idle.get()
        try:
            outputs = request.infer([mel, style, base_ws], share_inputs=True, share_outputs=True)
            # The output buffer is reused by the request's next frame.
            frame: NDArray[np.uint8] = outputs[0][0].copy()
        finally:
            self._idle.put(request)
        return frame


def load_or_convert(networks: FaceNetworks, cache: Path) -> Any:
    """The OpenVINO model of the drawing graph, from the cache when it is there."""
    entry = cache / graph_key(networks)
    if (entry / "graph.xml").exists():
        try:
            return openvino.Core().read_model(entry / "graph.xml")
        except RuntimeError:  # damaged: make it again
            shutil.rmtree(entry, ignore_errors=True)
    model = convert(networks)
    _store(model, entry)
    return model


def convert(networks: FaceNetworks) -> Any:
    """Trace the drawing graph and convert it, with fixed shapes."""
    inputs = example_inputs(networks)
    with warnings.catch_warnings(), torch.inference_mode(), one_torch_thread():
        # Tracing warns that shape checks become constants, which is what is wanted: shapes never change here.
        warnings.simplefilter("ignore")
        model = openvino.convert_model(DrawFrame(networks), example_input=inputs)
    for port, tensor in zip(model.inputs, inputs, strict=True):
        port.get_node().set_partial_shape(openvino.PartialShape(list(tensor.shape)))
    model.validate_nodes_and_infer_types()
    return model


def graph_key(networks: FaceNetworks) -> str:
    """Names weights, code and OpenVINO version."""
    digest = hashlib.sha256(openvino.__version__.encode())
    for source in _GRAPH_SOURCES:
        digest.update((Path(__file__).parents[1] / source).read_bytes())
    for name, tensor in networks.state_dict().items():
        digest.update(f"{name} {list(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """On a busy machine, threads that wait for each other made tracing thirty times slower than one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _store(model: Any, entry: Path) -> None:
    """Put a graph into the cache in one step; a cache that cannot be written is no error."""
    partial = None
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=entry.parent))
        # Full precision: the cached graph must draw what the fresh one draws.
        openvino.save_model(model, partial / "graph.xml", compress_to_fp16=False)
        partial.rename(entry)
    except (OSError, RuntimeError):  # a full disk, a read-only home, or another process was first
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
        return
    entries = sorted(entry.parent.iterdir(), key=lambda p: p.stat().st_mtime, reverse=True)
    for old in entries[MAX_CACHED_GRAPHS:]:
        shutil.rmtree(old, ignore_errors=True)
