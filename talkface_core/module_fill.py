"""Filling a module with tensors that come from a file."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from talkface_core.errors import CheckpointMismatchError, WeightsError


def fill_module(module: nn.Module, tensors: Mapping[str, Tensor], where: str, advice: str) -> None:
    """Copy tensors into a module; names and shapes must match exactly, values must be finite.

    Nothing is copied unless all of it fits; the module keeps its dtypes, device and memory layout.

    Args:
        where: the file, for messages.
        advice: what to do about values that are not finite, for the message.

    Raises:
        CheckpointMismatchError: a tensor is missing, unknown or of another shape.
        WeightsError: one holds NaN or infinity.
    """
    check_tensors(module, tensors, where, advice)
    own = module.state_dict()
    module.load_state_dict({name: tensor.to(own[name].dtype) for name, tensor in tensors.items()})


def check_tensors(module: nn.Module, tensors: Mapping[str, Tensor], where: str, advice: str) -> None:
    """Whether `fill_module` would take them; a module on the "meta" device will do, which costs no memory.

    Raises:
        CheckpointMismatchError, WeightsError: as `fill_module`.
    """
    own = module.state_dict()
    if missing := sorted(set(own) - set(tensors)):
        raise CheckpointMismatchError(f"{where}: tensors", f"{len(own)} of them", f"none named {missing[0]!r}")
    if extra := sorted(set(tensors) - set(own)):
        raise CheckpointMismatchError(f"{where}: tensors", f"{len(own)} of them", f"an unknown {extra[0]!r}")
    for name, tensor in tensors.items():
        if tensor.shape != own[name].shape:
            raise CheckpointMismatchError(f"{where}: {name}", list(own[name].shape), list(tensor.shape))
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise WeightsError(f"{where}: {name} holds NaN or infinity; {advice}")
