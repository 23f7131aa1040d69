"""Filling a module: all of it or nothing, and what does not fit is named."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from talkface_core.errors import CheckpointMismatchError, WeightsError
from talkface_core.module_fill import fill_module


def tensors() -> dict[str, Tensor]:
    return {"weight": torch.ones(2, 3, dtype=torch.float16), "bias": torch.ones(2)}


def test_values_come_over_and_the_type_stays() -> None:
    module = nn.Linear(3, 2)
    fill_module(module, tensors(), "file", "")
    assert module.weight.dtype == torch.float32
    assert torch.equal(module.weight, torch.ones(2, 3))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"bias": None}, CheckpointMismatchError, "file: tensors: expected 2 of them, got none named 'bias'"),
        (
            {"scale": torch.ones(1)},
            CheckpointMismatchError,
            "file: tensors: expected 2 of them, got an unknown 'scale'",
        ),
        ({"bias": torch.ones(3)}, CheckpointMismatchError, r"file: bias: expected \[2\], got \[3\]"),
        ({"bias": torch.tensor([1, torch.inf])}, WeightsError, "file: bias holds NaN or infinity; train again"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_taken(
    change: dict[str, Tensor | None], error: type[Exception], message: str
) -> None:
    module = nn.Linear(3, 2)
    before = module.weight.detach().clone()
    given = {name: tensor for name, tensor in {**tensors(), **change}.items() if tensor is not None}
    with pytest.raises(error, match=message):
        fill_module(module, given, "file", "train again")
    assert torch.equal(module.weight, before)
