"""One person's generator on top of shared weights: what tuning added to some of its tensors (`training.likeness`).

Tensors are named as in `SynthesisNetwork.state_dict()`. Noise counts with its strength: `noise` here is what a layer
adds at its output, whether the maps are a buffer with a strength or learned (`SynthesisLayer.learn_noise`).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from talkface_core.face.generator import Generator, SynthesisLayer, SynthesisNetwork, ToRgb
from talkface_core.face.networks import FaceNetworks

TunedParts = Mapping[str, NDArray[np.float32]]
"""What is added to tensors of the generator's synthesis network, by name."""
_NOISE = ".noise"


def tunable_tensors(synthesis: SynthesisNetwork) -> dict[str, Tensor]:
    """What may differ in one person's generator: affines, biases, colours, noise; detached, in the module's order."""
    found: dict[str, Tensor] = {}
    for name, module in synthesis.named_modules():
        if isinstance(module, SynthesisLayer):
            affine = {f"{name}.conv.affine.{n}": p for n, p in module.conv.affine.named_parameters()}
            found |= affine | {f"{name}.bias": module.bias, f"{name}{_NOISE}": module.noise * module.noise_strength}
        elif isinstance(module, ToRgb):
            found |= {f"{name}.{n}": p for n, p in module.named_parameters()}
    return {name: tensor.detach() for name, tensor in found.items()}


def tuned_difference(base: Generator, tuned: Generator) -> dict[str, NDArray[np.float32]]:
    """What tuning added, by name; tensors that stayed as they were are left out.

    Raises:
        ValueError: the generators differ in size, or in tensors that are not tunable.
    """
    if base.config != tuned.config:
        raise ValueError(f"a generator of {tuned.config} is not tuned from one of {base.config}")
    before, after = tunable_tensors(base.synthesis), tunable_tensors(tuned.synthesis)
    others = dict(tuned.synthesis.state_dict())
    for name, tensor in base.synthesis.state_dict().items():
        is_tunable = name in before or name.endswith(".noise_strength")
        if not is_tunable and not torch.equal(tensor, others[name]):
            raise ValueError(f"tuning changed {name}, which an identity does not carry")
    found = {name: (after[name] - tensor).float().cpu().numpy() for name, tensor in before.items()}
    return {name: difference for name, difference in found.items() if difference.any()}


def personal_networks(base: FaceNetworks, parts: TunedParts) -> FaceNetworks:
    """The networks with one person's generator; encoders and mapping are shared with `base`, which stays as it is.

    Raises:
        ValueError: a part has another name or shape than the generator's tensors.
    """
    generator = copy.copy(base.generator)
    generator._modules = {**base.generator._modules, "synthesis": copy.deepcopy(base.generator.synthesis)}
    modules = dict(generator.synthesis.named_modules())
    known = tunable_tensors(generator.synthesis)
    with torch.no_grad():
        for name, difference in parts.items():
            if name not in known or known[name].shape != difference.shape:
                raise ValueError(f"the generator has no tensor {name} of shape {list(difference.shape)} to add to")
            owner, _, attribute = name.rpartition(".")
            module = modules[owner]
            if name.endswith(_NOISE):
                assert isinstance(module, SynthesisLayer)
                _fold_strength(module)
            tensor = getattr(module, attribute)
            tensor += torch.from_numpy(difference).to(tensor)
    own = copy.copy(base)
    own._modules = {**base._modules, "generator": generator.requires_grad_(False).eval()}
    return own


def _fold_strength(layer: SynthesisLayer) -> None:
    """Let the noise be a parameter with a strength of 1 that acts as before."""
    if not isinstance(layer.noise, nn.Parameter):
        layer.learn_noise()
        return
    layer.noise.mul_(layer.noise_strength)
    layer.noise_strength.fill_(1.0)
