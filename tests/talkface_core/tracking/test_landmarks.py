"""The landmark network: shapes, geometry of heat maps, gradients, errors, and the shipped weights' size."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from talkface_core.errors import WeightsError
from talkface_core.face_assets import ASSET_FOLDER, save_asset
from talkface_core.tracking.landmark_runtime import LandmarkRunner
from talkface_core.tracking.landmarks import (
    CODE_VERSION,
    MIRROR,
    Framing,
    LandmarkNet,
    cell_centres,
    heatmap_mean,
    load_landmark_net,
)

NARROW = (8, 8, 8, 8, 8)


def tiny_net() -> LandmarkNet:
    torch.manual_seed(0)
    return LandmarkNet(widths=NARROW, head_width=8).eval()


@pytest.mark.parametrize("side", [64, 128])
def test_shapes_and_ranges(side: int) -> None:
    output = tiny_net()(torch.rand(2, 3, side, side) * 2 - 1, with_features=True)
    assert output.points.shape == (2, 68, 2)
    assert float(output.points.detach().abs().max()) < 1
    assert output.framing_logits.shape == (2, len(Framing))
    assert output.log_heatmaps.shape == (2, 68, side // 4, side // 4)
    torch.testing.assert_close(output.log_heatmaps.exp().sum(dim=(2, 3)), torch.ones(2, 68))
    assert [f.shape[2] for f in output.features] == [side // n for n in (2, 4, 8, 16, 32)]
    assert output.score.shape == (2,)
    assert bool((output.score >= 0).all() and (output.score <= 1).all())


def test_mean_of_a_single_cell_is_its_centre() -> None:
    heat = torch.zeros(1, 2, 4, 8)
    heat[0, 0, 1, 6] = 1
    heat[0, 1, 3, 0] = 1
    expected = torch.tensor([[[0.625, -0.25], [-0.875, 0.75]]])
    torch.testing.assert_close(heatmap_mean(heat), expected)
    torch.testing.assert_close(cell_centres(4, heat), torch.tensor([-0.75, -0.25, 0.25, 0.75]))


def test_points_pass_gradients_to_the_image() -> None:
    """Training a generator through the network needs this (paper eq. 10); checked against a difference quotient."""
    net = tiny_net().double()
    crops = torch.rand(1, 3, 64, 64, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(net(crops).points[0, 62, 1] * 100, crops)
    direction = torch.randn(crops.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    step = 1e-5
    with torch.no_grad():
        up, down = (net(crops + s * step * direction).points[0, 62, 1] * 100 for s in (1, -1))
    expected = (up - down) / (2 * step)
    assert float(expected) != 0
    torch.testing.assert_close((gradient * direction).sum(), expected, rtol=1e-3, atol=1e-6)


def test_batch_rows_do_not_mix() -> None:
    net = tiny_net()
    crops = torch.rand(3, 3, 64, 64)
    torch.testing.assert_close(net(crops).points[1:2], net(crops[1:2]).points, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 1, 64, 64), (1, 3, 64, 32), (1, 3, 60, 60)])
def test_wrong_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"crops must be|multiple of 32"):
        tiny_net()(torch.zeros(shape))


def test_mirror_is_its_own_inverse() -> None:
    assert [MIRROR[MIRROR[i]] for i in range(68)] == list(range(68))


def test_saved_network_loads_with_the_same_answers(tmp_path: Path) -> None:
    net, path = tiny_net(), tmp_path / "net.safetensors"
    save_asset(path, net.state_dict(), kind="landmarks", code_version=CODE_VERSION, config=net.config)
    crops = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(load_landmark_net(str(path))(crops).points, net(crops).points, atol=2e-3, rtol=0)


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="landmarks weights"):
        load_landmark_net(str(tmp_path / "none.safetensors"))


def test_openvino_agrees_with_torch() -> None:
    net = tiny_net()
    crop = torch.rand(1, 3, 128, 128) * 2 - 1
    fast, slow = LandmarkRunner(net, runtime="openvino"), LandmarkRunner(net, runtime="torch")
    for got, expected in zip(fast(crop), slow(crop), strict=True):
        torch.testing.assert_close(torch.from_numpy(got), torch.from_numpy(expected), atol=1e-4, rtol=0)


def test_unknown_runtime_is_refused() -> None:
    with pytest.raises(ValueError, match="runtime must be one of"):
        LandmarkRunner(tiny_net(), runtime="abacus")


def test_shipped_weights_are_small() -> None:
    """Issue: at most 3 MB with the face finder."""
    sizes = [(ASSET_FOLDER / f"{name}.safetensors").stat().st_size for name in ("landmarks", "face_finder")]
    assert sum(sizes) <= 3_000_000
