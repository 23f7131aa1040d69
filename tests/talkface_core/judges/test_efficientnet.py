"""EfficientNet-Lite0: against its published layers with batch norms left apart, and on pictures it must name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage import data as pictures
from torch import Tensor

from talkface_core.face_assets import load_asset
from talkface_core.judges.efficientnet import STAGE_STRIDES, STAGES, EfficientNetLite0, load_efficientnet


@pytest.fixture(scope="module")
def network() -> EfficientNetLite0:
    return load_efficientnet()


def by_the_formula(levels: Tensor) -> tuple[list[Tensor], Tensor]:
    """[N, 3, H, W] levels of 255 to the maps of the seven stages and the logits; in double, norms computed."""
    _, stored = load_asset("efficientnet_lite0", kind="efficientnet_lite0", code_version=1)
    w = {name: tensor.double() for name, tensor in stored.items()}

    def normed(x: Tensor, conv: str, norm: str, stride: int = 1, groups: int = 1) -> Tensor:
        kernel = w[f"{conv}.weight"]
        size = kernel.shape[-1]
        # "Same": as many cells as ceil(side / stride), the odd pixel of padding last.
        total = [max((int(np.ceil(s / stride)) - 1) * stride + size - s, 0) for s in x.shape[2:]]
        x = F.pad(x, [total[1] // 2, total[1] - total[1] // 2, total[0] // 2, total[0] - total[0] // 2])
        x = F.conv2d(x, kernel, stride=stride, groups=groups)
        x = (x - w[f"{norm}.running_mean"].view(-1, 1, 1)) / (w[f"{norm}.running_var"].view(-1, 1, 1) + 1e-3).sqrt()
        return x * w[f"{norm}.weight"].view(-1, 1, 1) + w[f"{norm}.bias"].view(-1, 1, 1)

    x = normed((levels.double() - 127) / 128, "_conv_stem", "_bn0", 2).clamp(0, 6)
    maps = []
    # (first block, blocks, stride) of the seven stages.
    for first, count, stride in ((0, 1, 1), (1, 2, 2), (3, 2, 2), (5, 3, 2), (8, 3, 1), (11, 4, 2), (15, 1, 1)):
        for block in range(first, first + count):
            name, before = f"_blocks.{block}", x
            if block > 0:
                x = normed(x, f"{name}._expand_conv", f"{name}._bn0").clamp(0, 6)
            step = stride if block == first else 1
            x = normed(x, f"{name}._depthwise_conv", f"{name}._bn1", step, x.shape[1]).clamp(0, 6)
            x = normed(x, f"{name}._project_conv", f"{name}._bn2")
            x = x if block == first else x + before
        maps.append(x)
    pooled = normed(x, "_conv_head", "_bn1").clamp(0, 6).mean((2, 3))
    return maps, pooled @ w["_fc.weight"].T + w["_fc.bias"]


@pytest.mark.parametrize("side", [64, 97])
def test_maps_and_logits_are_the_formula_s(network: EfficientNetLite0, side: int) -> None:
    levels = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(side)) * 255
    maps, logits = by_the_formula(levels)
    got = network.maps(levels / 127.5 - 1)
    assert len(got) == len(STAGES) == len(STAGE_STRIDES)
    for own, expected, stage, stride in zip(got, maps, STAGES, STAGE_STRIDES, strict=True):
        assert own.shape[1:] == (stage.channels, -(-side // stride), -(-side // stride))
        torch.testing.assert_close(own.double(), expected, atol=1e-4 * float(expected.abs().max()), rtol=0)
    torch.testing.assert_close(network(levels / 127.5 - 1).double(), logits, atol=1e-3, rtol=1e-3)


def test_fewer_stages_are_the_first_ones(network: EfficientNetLite0) -> None:
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    few = network.maps(x, 3)
    assert len(few) == 3
    torch.testing.assert_close(few, network.maps(x)[:3])


@pytest.mark.parametrize(("name", "classes"), [("cat", {285, 282}), ("coffee", {967}), ("rocket", {657})])
def test_pictures_are_named_right(network: EfficientNetLite0, name: str, classes: set[int]) -> None:
    """The central seven eighths, as in the network's own evaluation."""
    picture = torch.from_numpy(getattr(pictures, name)().copy()).permute(2, 0, 1)[None] / 127.5 - 1
    height, width = picture.shape[2:]
    side = min(height, width) * 7 // 8
    top, left = (height - side) // 2, (width - side) // 2
    picture = picture[:, :, top : top + side, left : left + side]
    logits = network(F.interpolate(picture, (224, 224), mode="area"))
    assert int(logits.argmax()) in classes


def test_weights_are_frozen_and_gradients_flow(network: EfficientNetLite0) -> None:
    x = torch.zeros(1, 3, 64, 64, requires_grad=True)
    sum(m.square().mean() for m in network.maps(x, 4)).backward()  # type: ignore[union-attr]
    assert x.grad is not None
    assert float(x.grad.abs().sum()) > 0
    assert not any(p.requires_grad for p in network.parameters())
