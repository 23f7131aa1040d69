"""Random networks in the official layouts load and draw what the plain reference draws; hostile files are refused."""

from __future__ import annotations

import io
import pickle
import sys
import types
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stylegan2_reference as reference
import torch
from torch import Tensor

from talkface.edit.official_checkpoints import load_official_generator
from talkface.edit.restricted_pickle import read_restricted_pickle
from talkface_core.errors import CheckpointMismatchError, WeightsError

State = dict[str, Tensor]
DIM = 32


def channels(resolution: int, top: int) -> int:
    return min(8 * top // resolution, 24)


def random_state(resolution_px: int = 32, mapping_layers: int = 8) -> State:
    """NVIDIA's PyTorch names and shapes, values as after some training: nothing is zero."""
    g = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=g)

    state: State = {"mapping.w_avg": draw(DIM)}
    for i in range(mapping_layers):
        state[f"mapping.fc{i}.weight"] = draw(DIM, DIM) * 100
        state[f"mapping.fc{i}.bias"] = draw(DIM) * 20
    state["synthesis.b4.const"] = draw(channels(4, resolution_px), 4, 4)
    resolution = 4
    while resolution <= resolution_px:
        block, out = f"synthesis.b{resolution}", channels(resolution, resolution_px)
        state[f"{block}.resample_filter"] = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64
        layers = (
            [("conv1", out, out, 3)]
            if resolution == 4
            else [("conv0", channels(resolution // 2, resolution_px), out, 3)]
        )
        layers += [("conv1", out, out, 3)] if resolution > 4 else []
        for name, inputs, outputs, k in [*layers, ("torgb", out, 3, 1)]:
            prefix = f"{block}.{name}"
            state[f"{prefix}.weight"] = draw(outputs, inputs, k, k)
            state[f"{prefix}.bias"] = draw(outputs) * 0.3
            state[f"{prefix}.affine.weight"] = draw(inputs, DIM)
            state[f"{prefix}.affine.bias"] = 1 + 0.2 * draw(inputs)
            if name != "torgb":
                state[f"{prefix}.noise_strength"] = draw()
                state[f"{prefix}.noise_const"] = draw(resolution, resolution)
        resolution *= 2
    return state


# What NVIDIA's torch_utils.persistence and dnnlib leave in a pickle, made the way they make it.


def _reconstruct_persistent_obj(meta: object) -> object:
    raise AssertionError("the file's own reconstruction must never run")


class EasyDict(dict[str, Any]):
    pass


class Network:
    """dnnlib.tflib.network.Network as far as its pickle goes."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def __getstate__(self) -> dict[str, Any]:
        return self.state


class PersistentModule:
    """A persistent class's instance: reduces to the reconstruction function and a description."""

    def __init__(self, class_name: str) -> None:
        self.class_name = class_name
        self.state: dict[str, Any] = {
            "training": False,
            "_parameters": OrderedDict(),
            "_buffers": OrderedDict(),
            "_modules": OrderedDict(),
            "_init_args": (),
            "_init_kwargs": EasyDict(z_dim=DIM),
        }

    def __reduce__(self) -> tuple[Any, ...]:
        source = "raise SystemExit('code of the file was run')"
        meta = EasyDict(type="class", version=6, module_src=source, class_name=self.class_name, state=self.state)
        return _reconstruct_persistent_obj, (meta,), None


@pytest.fixture
def nvidia_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names under which NVIDIA's code pickles; they exist only while a test writes a file."""
    places = {
        "torch_utils.persistence": [_reconstruct_persistent_obj],
        "dnnlib.util": [EasyDict],
        "dnnlib.tflib.network": [Network],
    }
    for module_name, things in places.items():
        module = types.ModuleType(module_name)
        for thing in things:
            monkeypatch.setattr(thing, "__module__", module_name)
            setattr(module, thing.__name__, thing)
        for parent in (module_name, *(module_name.rsplit(".", n)[0] for n in range(1, module_name.count(".") + 1))):
            monkeypatch.setitem(sys.modules, parent, module if parent == module_name else types.ModuleType(parent))


def nvidia_module(state: State, class_name: str = "Generator") -> PersistentModule:
    """Nest flat names into modules, buffers and parameters."""
    buffers = {"w_avg", "noise_const", "resample_filter"}
    root = PersistentModule(class_name)
    for name, tensor in state.items():
        *parents, leaf = name.split(".")
        module = root
        for parent in parents:
            modules = module.state["_modules"]
            module = modules.setdefault(parent, PersistentModule(parent))
        if leaf in buffers:
            module.state["_buffers"][leaf] = tensor
        else:
            module.state["_parameters"][leaf] = torch.nn.Parameter(tensor)
    return root


def write_nvidia(path: Path, state: State) -> None:
    content = {
        "G": None,
        "D": None,
        "G_ema": nvidia_module(state),
        "training_set_kwargs": EasyDict(path="x", resolution=32),
    }
    path.write_bytes(pickle.dumps(content))


def write_tensorflow(path: Path, state: State) -> None:
    """G, D, Gs as networks whose variables are numpy arrays in TensorFlow's layouts."""
    synthesis: list[tuple[str, Any]] = []
    mapping: list[tuple[str, Any]] = []
    for name, tensor in state.items():
        array = tensor.numpy()
        parts = name.split(".")
        if parts[0] == "mapping":
            if parts[1] != "w_avg":
                mapping.append((f"Dense{parts[1][2:]}/{parts[2]}", array.T.copy() if parts[2] == "weight" else array))
            continue
        size = int(parts[1][1:])
        if parts[2] == "const":
            synthesis.append(("4x4/Const/const", array[None]))
        elif parts[2] == "resample_filter":
            continue
        elif parts[3] == "noise_const":
            number = 2 * int(np.log2(size)) - (5 if parts[2] == "conv0" else 4)
            synthesis.append((f"noise{number}", array[None, None]))
        else:
            layer = {"conv0": "Conv0_up", "conv1": "Conv" if size == 4 else "Conv1", "torgb": "ToRGB"}[parts[2]]
            what = ".".join(parts[3:])
            if what == "weight":
                kernel = array.transpose(2, 3, 1, 0)
                array = kernel[::-1, ::-1].copy() if parts[2] == "conv0" else kernel.copy()
            elif what == "affine.weight":
                what, array = "mod_weight", array.T.copy()
            elif what == "affine.bias":
                what, array = "mod_bias", array - 1
            synthesis.append((f"{size}x{size}/{layer}/{what}", np.asarray(array)))
    components = EasyDict(
        synthesis=Network({"version": 4, "variables": synthesis, "components": EasyDict()}),
        mapping=Network({"version": 4, "variables": mapping, "components": EasyDict()}),
    )
    generator = Network(
        {
            "version": 4,
            "build_module_src": "raise SystemExit('code of the file was run')",
            "variables": [("lod", np.float32(0) * np.ones(1)), ("dlatent_avg", state["mapping.w_avg"].numpy())],
            "components": components,
        }
    )
    path.write_bytes(pickle.dumps((None, None, generator)))


def g_ema_names(state: State) -> State:
    """rosinality's names and shapes for the same tensors."""
    out: State = {}
    for name, tensor in state.items():
        parts = name.split(".")
        if parts[0] == "mapping":
            if parts[1] != "w_avg":
                out[f"style.{int(parts[1][2:]) + 1}.{parts[2]}"] = tensor
            continue
        size = int(parts[1][1:])
        if parts[2] == "const":
            out["input.input"] = tensor[None]
            continue
        if parts[2] == "resample_filter":
            continue
        index = 2 * int(np.log2(size // 8)) + (parts[2] == "conv1") if size > 4 else -1
        if parts[3] == "noise_const":
            out[f"noises.noise_{index + 1}"] = tensor[None, None]
            continue
        if parts[2] == "torgb":
            prefix = "to_rgb1" if size == 4 else f"to_rgbs.{int(np.log2(size // 8))}"
        else:
            prefix = "conv1" if size == 4 else f"convs.{index}"
        what = ".".join(parts[3:])
        shaped = {
            "weight": ("conv.weight", tensor[None] if tensor.ndim == 4 else tensor),
            "affine.weight": ("conv.modulation.weight", tensor),
            "affine.bias": ("conv.modulation.bias", tensor),
            "noise_strength": ("noise.weight", tensor.view(1) if tensor.ndim == 0 else tensor),
            "bias": ("bias", tensor.reshape(1, -1, 1, 1)) if parts[2] == "torgb" else ("activate.bias", tensor),
        }[what]
        out[f"{prefix}.{shaped[0]}"] = shaped[1]
        if parts[2] == "conv0":
            out[f"{prefix}.conv.blur.kernel"] = torch.ones(4, 4)
    return out


def write_g_ema(path: Path, state: State) -> None:
    torch.save({"g_ema": g_ema_names(state), "latent_avg": state["mapping.w_avg"]}, path)


WRITERS = {"nvidia": write_nvidia, "tensorflow": write_tensorflow, "g_ema": write_g_ema}


@pytest.mark.usefixtures("nvidia_modules")
@pytest.mark.parametrize("layout", WRITERS)
def test_loaded_generator_draws_what_the_official_one_draws(layout: str, tmp_path: Path) -> None:
    state = random_state()
    path = tmp_path / "generator"
    WRITERS[layout](path, state)
    generator = load_official_generator(path)
    assert generator.config.resolution_px == 32
    assert generator.config.mapping_layers == 8
    torch.manual_seed(1)
    z = torch.randn(3, DIM)
    w = generator.mapping(z)
    torch.testing.assert_close(w, reference.mapping(state, z), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(generator.mapping.mean_latent, state["mapping.w_avg"])
    ws = w.unsqueeze(1) + 0.5 * torch.randn(3, generator.config.num_layers, DIM)
    expected = reference.synthesis(state, ws)
    assert expected.std() > 1  # the comparison below means something
    assert (generator.synthesis(ws) - expected).abs().max() < 1e-3


@pytest.mark.parametrize("resolution_px", [256, 1024])
def test_official_sizes_load(resolution_px: int, tmp_path: Path) -> None:
    path = tmp_path / "g.pt"
    write_g_ema(path, random_state(resolution_px))
    assert load_official_generator(path).config.resolution_px == resolution_px


@pytest.mark.usefixtures("nvidia_modules")
def test_half_precision_layers_load(tmp_path: Path) -> None:
    """NVIDIA stores the last resolutions' weights as float32, but others have halved whole files."""
    path = tmp_path / "g.pkl"
    write_nvidia(path, {k: v.half() for k, v in random_state(8, 2).items()})
    assert load_official_generator(path).synthesis.constant.dtype == torch.float32


class Evil:
    """Runs a command when it is unpickled by a careless reader."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, (f"touch {self.marker}",)


class EvilBuiltin(Evil):
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (f"open({str(self.marker)!r}, 'w')",)


@pytest.mark.parametrize("evil", [Evil, EvilBuiltin])
def test_a_malicious_reducer_is_refused_and_not_run(evil: type[Evil], tmp_path: Path) -> None:
    path, marker = tmp_path / "g.pkl", tmp_path / "owned"
    path.write_bytes(pickle.dumps({"G_ema": evil(marker)}))
    with pytest.raises(WeightsError, match=r"refused: the pickle wants to use (posix|nt|builtins)\.(system|exec)"):
        load_official_generator(path)
    assert not marker.exists()


def test_a_malicious_storage_inside_a_tensor_is_refused(tmp_path: Path) -> None:
    """torch pickles storages as bytes of another pickle: that one is restricted too."""
    path, marker = tmp_path / "g.pkl", tmp_path / "owned"
    buffer = io.BytesIO()
    torch.save(Evil(marker), buffer, _use_new_zipfile_serialization=False)
    # GLOBAL torch.storage._load_from_bytes, BINBYTES of the evil pickle, TUPLE1, REDUCE, STOP.
    content = buffer.getvalue()
    program = b"\x80\x03ctorch.storage\n_load_from_bytes\nB" + len(content).to_bytes(4, "little") + content + b"\x85R."
    path.write_bytes(program)
    with pytest.raises(WeightsError, match="weights-only reader"):
        read_restricted_pickle(path)
    assert not marker.exists()


def test_a_malicious_g_ema_file_is_refused(tmp_path: Path) -> None:
    path, marker = tmp_path / "g.pt", tmp_path / "owned"
    torch.save({"g_ema": Evil(marker)}, path)
    with pytest.raises(WeightsError, match="weights-only reader"):
        load_official_generator(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    "program",
    [
        b"",
        b"\x80\x04.",
        b"\x80\x04}",
        b"cos\nsystem\n(S'true'\ntR.",
        b"ctorch._utils\n_rebuild_tensor_v2\n(NNNNtR.",
        b"cnumpy\ndtype\n(S'O8'\ntR.",
        b"Pdevil\n.",
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f",
    ],
)
def test_broken_and_foreign_pickles_raise_only_weights_errors(program: bytes, tmp_path: Path) -> None:
    path = tmp_path / "g.pkl"
    path.write_bytes(program)
    with pytest.raises(WeightsError, match=r"g\.pkl"):
        load_official_generator(path)


@pytest.mark.usefixtures("nvidia_modules")
def test_truncated_and_mutated_files_raise_only_weights_errors(tmp_path: Path) -> None:
    path = tmp_path / "g.pkl"
    write_nvidia(path, random_state(8, 1))
    content = path.read_bytes()
    generator = np.random.default_rng(0)
    num_refused = 0
    for i in range(300):
        data = bytearray(content)
        if i % 2:
            data = data[: int(generator.integers(len(data)))]
        else:
            for _ in range(3):
                data[int(generator.integers(len(data)))] = int(generator.integers(256))
        path.write_bytes(data)
        try:
            load_official_generator(path)
        except WeightsError:
            num_refused += 1
    assert num_refused > 150


def test_unfitting_generators_are_named(tmp_path: Path) -> None:
    path = tmp_path / "g.pt"
    for change, message in (
        (lambda s: s.pop("synthesis.b8.conv1.bias"), "b8.conv1.bias: expected a tensor, got nothing of that kind"),
        (lambda s: s.update({"synthesis.b8.conv0.weight": torch.zeros(24, 24, 5, 5)}), "conv0.weight"),
        (lambda s: s.pop("synthesis.b8.torgb.affine.weight"), "torgb.affine.weight: expected"),
    ):
        state = random_state(8, 1)
        change(state)
        write_g_ema(path, state)
        with pytest.raises(WeightsError, match=message):
            load_official_generator(path)
    torch.save({"g_ema": {"x": torch.zeros(1)}}, path)
    with pytest.raises(WeightsError, match="holds no StyleGAN2 generator"):
        load_official_generator(path)
    torch.save([1, 2], path)
    with pytest.raises(WeightsError, match="holds no g_ema generator"):
        load_official_generator(path)
    with pytest.raises(WeightsError, match="check the path"):
        load_official_generator(tmp_path / "absent.pkl")
    state = random_state(16, 1)
    state["synthesis.b16.conv1.bias"] = torch.zeros(7)
    write_g_ema(path, state)
    with pytest.raises(CheckpointMismatchError, match="channels by resolution"):
        load_official_generator(path)
