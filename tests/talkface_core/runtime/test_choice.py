"""Every runtime draws what float32 torch draws."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from talkface_core.errors import RuntimeUnavailableError
from talkface_core.face.generator import GeneratorConfig
from talkface_core.face.networks import FaceNetworks, seeded_networks
from talkface_core.runtime.choice import TorchCpuRuntime, TorchCudaRuntime, make_runtime
from talkface_core.runtime.openvino_cpu import DrawingPlan, OpenVinoRuntime, cpu_has_bf16, graph_key, load_or_convert

CONFIG = GeneratorConfig(resolution_px=64, latent_dim=64, channel_base=2048, channel_max=32, mapping_layers=2)
Inputs = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


@pytest.fixture(scope="module")
def networks() -> FaceNetworks:
    return seeded_networks(CONFIG, 0)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("graphs")


def frames_inputs(networks: FaceNetworks, count: int) -> list[Inputs]:
    generator = np.random.default_rng(0)
    mean = networks.generator.mapping.mean_latent.numpy()
    inputs: list[Inputs] = []
    for _ in range(count):
        mel = generator.normal(size=(1, 1, 80, 29)).astype(np.float32)
        style = generator.normal(size=(1, 16)).astype(np.float32)
        ws = mean + 0.3 * generator.normal(size=(1, CONFIG.num_layers, 64))
        inputs.append((mel, style, ws.astype(np.float32)))
    return inputs


def psnr_db(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    error = np.square(a.astype(np.float64) - b.astype(np.float64)).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


@pytest.mark.parametrize(("precision", "least_db"), [("f32", 60.0), ("bf16", 42.0)])
def test_openvino_agrees_with_torch(networks: FaceNetworks, cache: Path, precision: str, least_db: float) -> None:
    """Random weights are harder than trained ones: their pictures use the whole range at every pixel."""
    if precision == "bf16" and not cpu_has_bf16():
        pytest.skip("this CPU has no bfloat16")
    reference, runtime = TorchCpuRuntime(networks), OpenVinoRuntime(networks, precision=precision, cache=cache)
    assert runtime.name == {"f32": "openvino fp32", "bf16": "openvino bf16"}[precision]
    for inputs in frames_inputs(networks, 4):
        frame = runtime.draw(*inputs)
        assert frame.shape == (64, 64, 3)
        assert frame.dtype == np.uint8
        assert psnr_db(frame, reference.draw(*inputs)) >= least_db


@pytest.mark.parametrize("frames_at_once", [1, 2])
def test_the_plan_can_be_given(networks: FaceNetworks, cache: Path, frames_at_once: int) -> None:
    plan = DrawingPlan(frames_at_once, num_threads=2)
    runtime = OpenVinoRuntime(networks, precision="f32", plan=plan, cache=cache)
    assert runtime.frames_at_once == frames_at_once
    inputs = frames_inputs(networks, 2)
    with ThreadPoolExecutor(frames_at_once) as pool:
        drawn = list(pool.map(lambda arrays: runtime.draw(*arrays), inputs))
    for frame, arrays in zip(drawn, inputs, strict=True):
        assert psnr_db(frame, TorchCpuRuntime(networks).draw(*arrays)) >= 60.0


def test_a_frame_is_not_overwritten_by_the_next(networks: FaceNetworks, cache: Path) -> None:
    runtime = OpenVinoRuntime(networks, cache=cache)
    first, second = frames_inputs(networks, 2)
    frame = runtime.draw(*first)
    kept = frame.copy()
    runtime.draw(*second)
    np.testing.assert_array_equal(frame, kept)


def test_cached_graph_is_reused_and_damage_is_repaired(
    networks: FaceNetworks, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_or_convert(networks, cache)  # converted by an earlier test or here
    made = []
    monkeypatch.setattr("talkface_core.runtime.openvino_cpu.convert", lambda n: made.append(n) or model)
    (inputs,) = frames_inputs(networks, 1)
    fresh = OpenVinoRuntime(networks, precision="f32", cache=tmp_path).draw(*inputs)
    entry = tmp_path / graph_key(networks)
    assert {p.name for p in entry.iterdir()} == {"graph.xml", "graph.bin"}
    cached = OpenVinoRuntime(networks, precision="f32", cache=tmp_path).draw(*inputs)
    np.testing.assert_array_equal(cached, fresh)
    assert len(made) == 1
    (entry / "graph.xml").write_text("<net")
    repaired = OpenVinoRuntime(networks, precision="f32", cache=tmp_path).draw(*inputs)
    np.testing.assert_array_equal(repaired, fresh)
    assert len(made) == 2


def test_cache_is_bounded_and_an_unwritable_one_is_no_error(
    networks: FaceNetworks, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_or_convert(networks, cache)
    monkeypatch.setattr("talkface_core.runtime.openvino_cpu.convert", lambda _: model)
    for i in range(6):
        (tmp_path / f"old{i}").mkdir()
    load_or_convert(networks, tmp_path)
    assert len(list(tmp_path.iterdir())) == 4
    assert (tmp_path / graph_key(networks)).exists()
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert load_or_convert(networks, blocked / "below") is model


def test_graph_key_depends_on_the_weights(networks: FaceNetworks) -> None:
    other = seeded_networks(CONFIG, 0)
    assert graph_key(other) == graph_key(networks)
    with torch.no_grad():
        other.generator.synthesis.constant[0, 0, 0] += 1e-3
    assert graph_key(other) != graph_key(networks)


def test_shapes_are_fixed_in_the_graph(networks: FaceNetworks, cache: Path) -> None:
    shapes = [list(port.shape) for port in load_or_convert(networks, cache).inputs]
    assert shapes == [[1, 1, 80, 29], [1, 16], [1, CONFIG.num_layers, 64]]


def test_unknown_and_unavailable_runtimes_say_so(networks: FaceNetworks) -> None:
    with pytest.raises(ValueError, match="'tpu' is unknown; choose one of auto"):
        make_runtime("tpu", networks)
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeUnavailableError, match="no CUDA device"):
            make_runtime("torch-cuda", networks)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_torch_cpu(networks: FaceNetworks) -> None:
    reference, runtime = TorchCpuRuntime(networks), TorchCudaRuntime(networks)
    for inputs in frames_inputs(networks, 3):
        assert psnr_db(runtime.draw(*inputs), reference.draw(*inputs)) >= 42.0
