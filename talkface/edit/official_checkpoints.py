"""Official StyleGAN2 generators into ours: NVIDIA's pickles (PyTorch and TensorFlow) and the `g_ema` layout.

| layout | file | names |
|---|---|---|
| NVIDIA, PyTorch | `ffhq.pkl` of stylegan2-ada-pytorch | `synthesis.b8.conv0.weight`, `mapping.fc0.weight` |
| NVIDIA, TensorFlow | `stylegan2-ffhq-config-f.pkl` | `synthesis/8x8/Conv0_up/weight`, `mapping/Dense0/weight` |
| rosinality | `.pt` with `g_ema` | `convs.0.conv.weight`, `style.1.weight` |

All three are first brought to NVIDIA's PyTorch names. The activation clamp of NVIDIA's fp16 training (256) is not
applied: float32 activations stay far below it. Conditional generators and residual ones are refused.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from talkface.edit.restricted_pickle import PickledModule, PickledTfNetwork, check_archive, read_restricted_pickle
from talkface_core.errors import CheckpointMismatchError, CoreError, WeightsError
from talkface_core.face.generator import Generator, GeneratorConfig, SynthesisBlock, SynthesisLayer, ToRgb
from talkface_core.face.layers import EqualizedLinear

State = dict[str, Tensor]


def load_official_generator(path: Path) -> Generator:
    """A generator from an official checkpoint; the layout is recognised by the file's content.

    Returns:
        eval mode, CPU, float32, gradients off; the mean latent is the checkpoint's where it has one.

    Raises:
        WeightsError: missing, damaged, refused, or of an unknown layout.
        CheckpointMismatchError: sizes that our generator cannot take.
    """
    try:
        state = read_official_state(path)
        config = config_of(state, path)
        with torch.device("meta"):
            _check(Generator(config), state, path)  # before anything is allocated for sizes that a file names
        generator = Generator(config)
        _fill(generator, state)
    except CoreError:
        raise
    except Exception as error:  # tensors of any type and shape under any name: torch raises what it likes
        raise WeightsError(f"{path}: damaged checkpoint ({type(error).__name__}: {error})") from None
    return generator.eval().requires_grad_(False)


def read_official_state(path: Path) -> State:
    """Tensors of the averaged generator under NVIDIA's PyTorch names, float32."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            is_zip = file.read(2) == b"PK"
    except OSError as error:
        raise WeightsError(f"{path}: cannot read the checkpoint ({error.strerror}); check the path") from None
    # torch.save writes a zip file; NVIDIA's files are bare pickles.
    state = _from_g_ema(_load_torch(path), path) if is_zip else _from_pickle(read_restricted_pickle(path), path)
    num_bytes = sum(4 * tensor.numel() for tensor in state.values())
    if num_bytes > 4 * size:  # half precision doubles; names that share one tensor would multiply it
        raise WeightsError(f"{path}: {size} bytes that would be {num_bytes} in memory")
    return {name: tensor.detach().float().contiguous() for name, tensor in state.items()}


def config_of(state: State, path: Path) -> GeneratorConfig:
    """Our sizes, read off the tensors' shapes.

    Raises:
        CheckpointMismatchError: a generator that ours cannot express.
    """
    resolutions = sorted({int(m[1]) for name in state if (m := re.match(r"synthesis\.b(\d{1,4})\.", name))})
    layers = sorted({int(m[1]) for name in state if (m := re.match(r"mapping\.fc(\d{1,2})\.weight", name))})
    if not resolutions or not layers:
        raise WeightsError(f"{path}: holds no StyleGAN2 generator")
    if "mapping.embed.weight" in state:
        raise CheckpointMismatchError(f"{path}: generator", "an unconditional one", "one with class labels")
    top = resolutions[-1]
    latent_dim = state[f"mapping.fc{layers[0]}.weight"].shape[-1]
    channels = {}
    for resolution in resolutions:
        name = f"synthesis.b{resolution}.conv1.bias"
        if name not in state or state[name].ndim != 1:
            raise CheckpointMismatchError(f"{path}: {name}", "a tensor", "nothing of that kind")
        channels[resolution] = state[name].shape[0]
    try:
        config = GeneratorConfig(
            resolution_px=top,
            latent_dim=latent_dim,
            channel_base=channels[top] * top,
            channel_max=max(channels.values()),
            mapping_layers=len(layers),
        )
    except ValueError as error:
        raise CheckpointMismatchError(f"{path}: generator", "a power of two from 8 to 1024 px", str(error)) from None
    expected = {r: config.channels(r) for r in config.block_resolutions}
    if channels != expected:
        raise CheckpointMismatchError(f"{path}: channels by resolution", expected, channels)
    return config


def _check(generator: Generator, state: State, path: Path) -> None:
    """Whether every tensor has its place; one that is missing or of another shape is named."""
    for name, target in _targets(generator):
        if name == "mapping.w_avg" and name not in state:
            continue  # g_ema files need not hold one
        tensor = state.get(name)
        if tensor is None:
            raise CheckpointMismatchError(f"{path}: {name}", list(target.shape), "nothing")
        if tensor.numel() != target.numel() or _squeezed(tensor) != _squeezed(target):
            raise CheckpointMismatchError(f"{path}: {name}", list(target.shape), list(tensor.shape))


def _fill(generator: Generator, state: State) -> None:
    """Copy every tensor to its place, once they are checked."""
    with torch.no_grad():
        for name, target in _targets(generator):
            if name in state:
                target.copy_(state[name].view(target.shape))


def _squeezed(tensor: Tensor) -> list[int]:
    """The shape without ones: layouts differ in them."""
    return [n for n in tensor.shape if n != 1]


def _targets(generator: Generator) -> Iterator[tuple[str, Tensor]]:
    """NVIDIA's name of each of our tensors."""
    yield "mapping.w_avg", generator.mapping.mean_latent
    for i, layer in enumerate(generator.mapping.layers):
        assert isinstance(layer, EqualizedLinear)
        yield f"mapping.fc{i}.weight", layer.weight
        yield f"mapping.fc{i}.bias", layer.bias
    synthesis = generator.synthesis
    yield "synthesis.b4.const", synthesis.constant
    for resolution, block in zip(synthesis.config.block_resolutions, synthesis.blocks, strict=True):
        assert isinstance(block, SynthesisBlock)
        prefix = f"synthesis.b{resolution}"
        if block.up_layer is not None:
            yield from _layer_targets(f"{prefix}.conv0", block.up_layer)
        yield from _layer_targets(f"{prefix}.conv1", block.layer)
        yield from _layer_targets(f"{prefix}.torgb", block.to_rgb)


def _layer_targets(prefix: str, layer: SynthesisLayer | ToRgb) -> Iterator[tuple[str, Tensor]]:
    yield f"{prefix}.weight", layer.conv.weight
    yield f"{prefix}.affine.weight", layer.conv.affine.weight
    yield f"{prefix}.affine.bias", layer.conv.affine.bias
    yield f"{prefix}.bias", layer.bias
    if isinstance(layer, SynthesisLayer):
        yield f"{prefix}.noise_strength", layer.noise_strength
        yield f"{prefix}.noise_const", layer.noise


def _from_pickle(content: Any, path: Path) -> State:
    """NVIDIA's files hold a dict of modules (PyTorch) or a tuple of networks (TensorFlow: G, D, Gs)."""
    if isinstance(content, dict) and isinstance(content.get("G_ema"), PickledModule):
        return dict(content["G_ema"].named_tensors())
    if isinstance(content, tuple) and len(content) == 3 and isinstance(content[2], PickledTfNetwork):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the arrays are read-only: nobody writes to them
            arrays = {name: torch.from_numpy(array) for name, array in content[2].named_arrays()}
        return _from_tf(arrays, path)
    raise WeightsError(f"{path}: a pickle, but not of a StyleGAN2 generator (no G_ema)")


def _from_tf(tf: State, path: Path) -> State:
    """TensorFlow names and layouts to PyTorch's: [in, out] to [out, in], style biases that start from 1."""
    state: State = {}
    for name, tensor in tf.items():
        if name == "dlatent_avg":
            state["mapping.w_avg"] = tensor
        elif m := re.fullmatch(r"mapping/Dense(\d{1,2})/(weight|bias)", name):
            state[f"mapping.fc{m[1]}.{m[2]}"] = tensor.t() if m[2] == "weight" else tensor
        elif name == "synthesis/4x4/Const/const":
            state["synthesis.b4.const"] = tensor[0]
        elif m := re.fullmatch(r"synthesis/noise(\d{1,2})", name):
            # noise0 is of 4x4; then two per resolution.
            number = int(m[1])
            resolution = 2 ** ((number + 5) // 2)
            conv = "conv0" if number % 2 else "conv1"
            state[f"synthesis.b{resolution}.{conv}.noise_const"] = tensor[0, 0]
        elif m := re.fullmatch(r"synthesis/(\d{1,4})x\1/(Conv|Conv0_up|Conv1|ToRGB)/(\w+)", name):
            state |= _tf_layer(f"synthesis.b{m[1]}", m[2], m[3], tensor)
    if not state:
        raise WeightsError(f"{path}: a TensorFlow pickle, but not of a StyleGAN2 generator")
    return state


def _tf_layer(block: str, layer: str, what: str, tensor: Tensor) -> State:
    prefix = f"{block}.{ {'Conv': 'conv1', 'Conv0_up': 'conv0', 'Conv1': 'conv1', 'ToRGB': 'torgb'}[layer] }"
    if what == "weight":
        # TensorFlow's transposed convolution sees the kernel turned by 180 degrees.
        kernel = tensor.flip([0, 1]) if layer == "Conv0_up" else tensor
        return {f"{prefix}.weight": kernel.permute(3, 2, 0, 1)}
    if what == "mod_weight":
        return {f"{prefix}.affine.weight": tensor.t()}
    if what == "mod_bias":
        return {f"{prefix}.affine.bias": tensor + 1}
    return {f"{prefix}.{what}": tensor}


def _load_torch(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            check_archive(file, path.stat().st_size)
        return torch.load(path, map_location="cpu", weights_only=True)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None
    except Exception as error:  # torch raises many types; none of them has run foreign code
        reason = str(error).split("\n", 1)[0]
        raise WeightsError(f"{path}: torch's weights-only reader does not accept it ({reason})") from None


def _from_g_ema(content: Any, path: Path) -> State:
    """rosinality's names; `convs` alternate upsampling and plain layers from 8x8 on."""
    source = content.get("g_ema") if isinstance(content, dict) else None
    if not isinstance(source, dict) or not all(isinstance(v, Tensor) for v in source.values()):
        raise WeightsError(f"{path}: holds no g_ema generator")
    state: State = {}
    for name, tensor in source.items():
        if m := re.fullmatch(r"style\.(\d{1,2})\.(weight|bias)", name):
            state[f"mapping.fc{int(m[1]) - 1}.{m[2]}"] = tensor
        elif name == "input.input":
            state["synthesis.b4.const"] = tensor[0]
        elif m := re.fullmatch(r"noises\.noise_(\d{1,2})", name):
            number = int(m[1])
            state[f"{_g_ema_layer(number - 1)}.noise_const"] = tensor
        elif m := re.fullmatch(r"(conv1|convs\.(\d{1,2})|to_rgb1|to_rgbs\.(\d{1,2}))\.(.+)", name):
            if m[1].startswith("to_rgb"):
                prefix = f"synthesis.b{4 if m[3] is None else 8 * 2 ** int(m[3])}.torgb"
            else:
                prefix = _g_ema_layer(-1 if m[2] is None else int(m[2]))
            if what := _G_EMA_PARTS.get(m[4]):
                state[f"{prefix}.{what}"] = tensor
    mean = content.get("latent_avg")
    if isinstance(mean, Tensor):
        state["mapping.w_avg"] = mean
    return state


_G_EMA_PARTS = {
    "conv.weight": "weight",
    "conv.modulation.weight": "affine.weight",
    "conv.modulation.bias": "affine.bias",
    "noise.weight": "noise_strength",
    "activate.bias": "bias",
    "bias": "bias",
}


def _g_ema_layer(index: int) -> str:
    """convs[index]; -1 is the 4x4 layer."""
    if index < 0:
        return "synthesis.b4.conv1"
    return f"synthesis.b{2 ** (3 + index // 2)}.conv{index % 2}"
