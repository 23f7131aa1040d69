"""Milliseconds per frame of each runtime on one and two threads, and how near each is to float32 torch.

A sample covers the mel picture and the networks. Frames that are drawn at once begin together; a sample is the time
until the last of them is there, divided by their number.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.benchmark import CALLS_PER_TURN, Benchmark, Settings
from benchmarks.measurement import Measurement, Outcome, Skip, Unit, measured
from benchmarks.timer import Case, take_turns, timed_ms
from talkface.cores import usable_cores
from talkface_core.errors import CoreError, RuntimeUnavailableError
from talkface_core.face.generator import GeneratorConfig
from talkface_core.face.model import Renderer, TalkfaceModel, load_face_model
from talkface_core.face.networks import FaceNetworks, seeded_networks
from talkface_core.interfaces import STYLE_VALUES, FaceRenderer
from talkface_core.runtime.interface import FrameRuntime
from talkface_core.runtime.torch_runtimes import TorchCpuRuntime, TorchCudaRuntime
from talkface_core.sound.mel import WINDOW_SAMPLES
from talkface_core.weights import FaceWeights

RANDOM_WEIGHTS = "random256"
"""The default size with random weights: to time a generator before it is trained."""
NUM_INPUTS = 50
NUM_COMPARED = 10
"""Frames whose pixels are compared."""
Inputs = list[tuple[NDArray[np.float32], NDArray[np.float32]]]


@dataclass(frozen=True, slots=True)
class Way:
    """One way to draw."""

    runtime: str
    threads: int | None
    """Of all frames at once together; None: the GPU draws."""
    frames_at_once: int
    make: Callable[[FaceNetworks], FrameRuntime]
    """Raises RuntimeUnavailableError where that way is closed."""

    @property
    def parameters(self) -> dict[str, str]:
        threads = {} if self.threads is None else {"threads": str(self.threads)}
        return {"runtime": self.runtime, **threads, "frames at once": str(self.frames_at_once)}

    @property
    def name(self) -> str:
        threads = "" if self.threads is None else f", {self.threads} threads"
        return f"{self.runtime}{threads}, {self.frames_at_once} at once"


def _openvino(precision: str, threads: int, frames_at_once: int, networks: FaceNetworks) -> FrameRuntime:
    from talkface_core.runtime.openvino_cpu import DrawingPlan, OpenVinoRuntime, cpu_has_bf16

    if precision == "bf16" and not cpu_has_bf16():
        raise RuntimeUnavailableError("this processor does not multiply bfloat16: it needs AVX512-BF16 or AMX")
    return OpenVinoRuntime(networks, precision=precision, plan=DrawingPlan(frames_at_once, threads))


WAYS: tuple[Way, ...] = (
    *(Way("torch-cpu fp32", threads, 1, TorchCpuRuntime) for threads in (1, 2)),
    *(
        Way(f"openvino {label}", threads, at_once, partial(_openvino, precision, threads, at_once))
        for label, precision in (("fp32", "f32"), ("bf16", "bf16"))
        for threads, at_once in ((1, 1), (2, 1), (2, 2))
    ),
    Way("torch-cuda bf16", None, 1, TorchCudaRuntime),
)
"""The first one is what the others are compared with: float32 torch on one thread runs everywhere."""


def run(settings: Settings) -> Iterator[Outcome]:
    """All ways in turns, for each of the weights."""
    inputs = speech_like(NUM_INPUTS)
    said: set[Skip] = set()
    for name in settings.weights:
        renderers, skips = make_renderers(load(name))
        yield from (skip for skip in skips if skip not in said)
        said.update(skips)
        yield from measure(name, renderers, inputs, settings)


def load(name: str) -> TalkfaceModel:
    """A face model by name or path, or `RANDOM_WEIGHTS`."""
    if name == RANDOM_WEIGHTS:
        return TalkfaceModel(FaceWeights(name=name, networks=seeded_networks(GeneratorConfig(), 0)), is_synthetic=True)
    return load_face_model(name)


def make_renderers(model: TalkfaceModel) -> tuple[list[tuple[Way, Renderer]], list[Skip]]:
    """What can draw here, warmed up, and why the others cannot."""
    renderers, skips = [], []
    for way in WAYS:
        try:
            if way.threads is not None and way.threads > usable_cores():
                raise RuntimeUnavailableError(f"this process may use {usable_cores()} core")
            renderer = Renderer(model.weights.networks, model.default_identity(), way.make(model.weights.networks))
        except (CoreError, ImportError) as error:
            skips.append(Skip(name=way.name, reason=str(error)))
            continue
        renderer.warm_up()
        renderers.append((way, renderer))
    return renderers, skips


def measure(
    weights: str, renderers: Sequence[tuple[Way, Renderer]], inputs: Inputs, settings: Settings
) -> Iterator[Measurement]:
    """Times and pixels of renderers of the same face; the first is the reference."""
    threads_before = torch.get_num_threads()
    with ExitStack() as stack:
        stack.callback(torch.set_num_threads, threads_before)
        pool = stack.enter_context(ThreadPoolExecutor(max(way.frames_at_once for way, _ in renderers)))
        cases = [_case(way, renderer, inputs, pool) for way, renderer in renderers]
        timings = take_turns(cases, rounds=settings.rounds, calls=CALLS_PER_TURN)
    for (way, _), timing in zip(renderers, timings, strict=True):
        parameters = {"weights": weights, **way.parameters}
        yield measured("one frame", timing.samples, Unit.MILLISECONDS, parameters, ratio=timing.ratio)
    by_runtime = {way.runtime: renderer for way, renderer in renderers}  # the pixels do not depend on threads
    reference = _frames(by_runtime.pop(renderers[0][0].runtime), inputs)
    for runtime, renderer in by_runtime.items():
        likeness = [psnr_db(*pair) for pair in zip(_frames(renderer, inputs), reference, strict=True)]
        yield measured("likeness to torch-cpu", likeness, Unit.DECIBELS, {"weights": weights, "runtime": runtime})


def _case(way: Way, renderer: FaceRenderer, inputs: Inputs, pool: ThreadPoolExecutor) -> Case:
    endless = itertools.cycle(inputs)

    def draw() -> None:
        pairs = list(itertools.islice(endless, way.frames_at_once))
        if len(pairs) == 1:
            renderer.render(*pairs[0])
        else:
            list(pool.map(lambda pair: renderer.render(*pair), pairs))

    timed = timed_ms(draw)
    # Torch computes the mel picture of every runtime; on one core it has nobody to wait for.
    torch_threads = way.threads if way.make is TorchCpuRuntime and way.threads is not None else 1
    return Case(lambda: timed() / way.frames_at_once, before_turn=partial(torch.set_num_threads, torch_threads))


def _frames(renderer: FaceRenderer, inputs: Inputs) -> list[NDArray[np.uint8]]:
    return [renderer.render(audio, style) for audio, style in inputs[:NUM_COMPARED]]


def psnr_db(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Of two pictures [R, R, 3]; 138 dB for equal ones."""
    error = np.square(a.astype(np.float64) - b).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def speech_like(count: int) -> Inputs:
    """Noise whose loudness comes and goes, and a style that wanders: [S] and [V] for each frame."""
    generator = np.random.default_rng(0)
    style = np.cumsum(generator.normal(0, 0.2, (count, STYLE_VALUES)), axis=0).clip(-2, 2).astype(np.float32)
    loudness = 0.1 * np.abs(np.sin(np.arange(count) / 5))
    sound = generator.normal(size=(count, WINDOW_SAMPLES)) * loudness[:, None]
    return list(zip(sound.astype(np.float32), style, strict=True))


BENCHMARK = Benchmark("drawing", "Drawing a frame", run)
