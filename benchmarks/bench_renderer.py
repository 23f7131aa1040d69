"""Milliseconds per frame of every runtime that this machine has, and how far each is from float32 torch.

`ms_p50` and `ms_p95` are of one frame alone, `ms_side_by_side` is time per frame with as many at once as a call draws.

    python benchmarks/bench_renderer.py [--weights default|tiny|PATH] [--frames 100]

JSON on stdout, progress on stderr. Start-up and warm-up are left out of the times per frame and reported apart.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from talkface_core.errors import CoreError
from talkface_core.face.generator import GeneratorConfig
from talkface_core.face.model import TalkfaceModel, load_face_model, tiny_face_model
from talkface_core.face.networks import seeded_networks
from talkface_core.interfaces import FaceRenderer
from talkface_core.weights import FaceWeights

RUNTIMES = ("torch-cpu", "openvino", "torch-cuda")
Inputs = list[tuple[NDArray[np.float32], NDArray[np.float32]]]


def speech_like(count: int, samples: int) -> Inputs:
    """Noise whose loudness comes and goes, and a style that wanders."""
    generator = np.random.default_rng(0)
    style = np.cumsum(generator.normal(0, 0.2, (count, 16)), axis=0).clip(-2, 2).astype(np.float32)
    loudness = 0.1 * np.abs(np.sin(np.arange(count) / 5))
    sound = generator.normal(size=(count, samples)) * loudness[:, None]
    return list(zip(sound.astype(np.float32), style, strict=True))


def measure(renderer: FaceRenderer, inputs: Inputs) -> tuple[list[float], list[NDArray[np.uint8]]]:
    """Milliseconds and the picture of each frame; `render` returns finished pixels, so no synchronising is needed."""
    times, frames = [], []
    for audio, style in inputs:
        start = time.perf_counter()
        frames.append(renderer.render(audio, style))
        times.append(1000 * (time.perf_counter() - start))
    return times, frames


def measure_side_by_side(renderer: FaceRenderer, inputs: Inputs) -> float:
    """Milliseconds per frame when `renderer.frames_at_once` threads draw."""
    start = time.perf_counter()
    with ThreadPoolExecutor(renderer.frames_at_once) as pool:
        list(pool.map(lambda pair: renderer.render(*pair), inputs))
    return 1000 * (time.perf_counter() - start) / len(inputs)


def psnr_db(a: list[NDArray[np.uint8]], b: list[NDArray[np.uint8]]) -> float:
    error = np.mean([np.square(x.astype(np.float64) - y).mean() for x, y in zip(a, b, strict=True)])
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def load(name: str) -> TalkfaceModel:
    """A model by name or path; "random256" is the default size with random weights, to time it before training."""
    if name == "random256":
        return TalkfaceModel(FaceWeights(name=name, networks=seeded_networks(GeneratorConfig(), 0)), is_synthetic=True)
    return tiny_face_model() if name == "tiny" else load_face_model(name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="default", help="default, tiny, random256 or a weights folder")
    parser.add_argument("--frames", type=int, default=100)
    args = parser.parse_args()
    try:
        model = load(args.weights)
    except CoreError as error:
        sys.exit(f"bench_renderer: {error}")
    info = model.info
    inputs = speech_like(args.frames, info.audio_past_samples + info.audio_lookahead_samples)
    rows, reference = [], None
    for name in RUNTIMES:
        start = time.perf_counter()
        try:
            renderer = model.renderer(model.default_identity(), runtime=name)
        except CoreError as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        renderer.warm_up()
        start_s = time.perf_counter() - start
        times, frames = measure(renderer, inputs)
        reference = reference or frames
        row = {
            "runtime": renderer.runtime,
            "start_s": round(start_s, 2),
            "ms_p50": round(float(np.percentile(times, 50)), 2),
            "ms_p95": round(float(np.percentile(times, 95)), 2),
            "frames_at_once": renderer.frames_at_once,
            "ms_side_by_side": round(measure_side_by_side(renderer, inputs), 2),
            "psnr_to_fp32_db": round(psnr_db(frames, reference), 1),
        }
        times_ms = f"{row['ms_p50']} ms p50, {row['ms_side_by_side']} side by side"
        print(f"{row['runtime']}: {times_ms}, {row['psnr_to_fp32_db']} dB", file=sys.stderr)
        rows.append(row)
    result = {"model": info.name, "resolution_px": info.resolution_px, "frames": args.frames, "runtimes": rows}
    print(json.dumps({**result, "machine": platform.processor() or platform.machine()}, indent=1))


if __name__ == "__main__":
    main()
