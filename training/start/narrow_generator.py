"""A wider generator's weights for a narrower one: each layer keeps the channels that weigh most in what follows.

A start for training, not a compression: the picture suffers until the remaining channels have adapted. Coarse layers,
where place and pose are decided, are usually of equal width in both and pass unchanged.

Shapes: O output channels, I input channels, D latent dimension.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from talkface_core.face.generator import GeneratorConfig

_SYNTHESIS = "faces.generator.synthesis."


def narrow_generator(
    tensors: Mapping[str, Tensor], source: GeneratorConfig, target: GeneratorConfig
) -> dict[str, Tensor]:
    """Select channels.

    Args:
        tensors: state of the networks, names as in `TrainNetworks`.
        source: sizes that the tensors have.
        target: sizes wanted; same resolution and latent dimension, at no resolution more channels.

    Returns:
        A state for `target`; tensors that do not depend on the width are the same objects.

    Raises:
        ValueError: the target is wider somewhere, or of another resolution or latent dimension.
    """
    if (source.resolution_px, source.latent_dim) != (target.resolution_px, target.latent_dim):
        raise ValueError(
            f"a generator of {source.resolution_px} px and {source.latent_dim} latent values cannot become one of "
            f"{target.resolution_px} px and {target.latent_dim}: only its channels can be fewer"
        )
    result = dict(tensors)
    kept = torch.arange(0)  # channels that reach the block
    for index, resolution in enumerate(source.block_resolutions):
        want = target.channels(resolution)
        if want > source.channels(resolution):
            raise ValueError(f"at {resolution} px {want} channels are wanted and {source.channels(resolution)} given")
        block = f"{_SYNTHESIS}blocks.{index}."
        if index:
            inner = _heaviest(_use(tensors, f"{block}layer."), want)
            _select(result, f"{block}up_layer.", inner, kept)
        else:
            inner = _heaviest(_use(tensors, f"{block}layer."), want)
            result[f"{_SYNTHESIS}constant"] = tensors[f"{_SYNTHESIS}constant"][inner]
        use = _use(tensors, f"{block}to_rgb.")
        following = f"{_SYNTHESIS}blocks.{index + 1}.up_layer."
        if f"{following}conv.weight" in tensors:
            use = use / use.mean() + (after := _use(tensors, following)) / after.mean()
        outer = _heaviest(use, want)
        _select(result, f"{block}layer.", outer, inner)
        _select(result, f"{block}to_rgb.", None, outer)
        kept = outer
    return result


def _use(tensors: Mapping[str, Tensor], layer: str) -> Tensor:
    """[I] how much a layer makes of each input channel: its usual style times the norm of the weights."""
    weight, style = tensors[f"{layer}conv.weight"], tensors[f"{layer}conv.affine.bias"]
    return weight.float().square().sum(dim=(0, 2, 3)).sqrt() * style.float().abs()


def _heaviest(use: Tensor, count: int) -> Tensor:
    """The indices of the `count` largest, in ascending order."""
    return use.topk(count).indices.sort().values


def _select(result: dict[str, Tensor], layer: str, out: Tensor | None, into: Tensor) -> None:
    """Cut one modulated convolution down to its output channels `out` (None: all) and input channels `into`."""
    weight = result[f"{layer}conv.weight"][:, into]
    if out is not None:
        weight = weight[out]
        result[f"{layer}bias"] = result[f"{layer}bias"][out]
    result[f"{layer}conv.weight"] = weight
    for name in ("affine.weight", "affine.bias"):
        result[f"{layer}conv.{name}"] = result[f"{layer}conv.{name}"][into]
