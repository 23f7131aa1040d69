"""Feature networks: VGG-16 from a file against torchvision, the landmark network, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models.vgg import cfgs, make_layers

from talkface_core.errors import WeightsError
from talkface_core.tracking.landmarks import LandmarkNet
from training.loss.perceptual import LandmarkFeatures, Vgg16Features, choose_feature_network, feature_distance


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """VGG-16's convolutions with seeded random weights, as torchvision names them."""
    torch.manual_seed(0)
    state = {f"features.{k}": v for k, v in make_layers(cfgs["D"]).state_dict().items()}
    path = tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    torch.save(state, path)
    return path


def test_vgg_features_are_the_last_convolution(vgg_file: Path) -> None:
    features = Vgg16Features(vgg_file)
    picture = torch.rand(1, 3, 64, 64) * 2 - 1
    network = nn.ModuleDict({"features": make_layers(cfgs["D"])})
    network.load_state_dict(torch.load(vgg_file, weights_only=True))
    seen: list[torch.Tensor] = []
    last = [m for m in network["features"] if isinstance(m, nn.Conv2d)][-1]
    # A copy: the ReLU after it works in place.
    last.register_forward_hook(lambda _module, _inputs, output: seen.append(output.clone()))
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        network["features"](((picture / 2 + 0.5) - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1))
        got = features(picture)
    assert len(got) == 1
    torch.testing.assert_close(got[0], seen[0])
    assert choose_feature_network(vgg_file).name.startswith("VGG-16")


def test_random_vgg_is_the_same_for_everybody_and_normalises_like_the_real_one(vgg_file: Path) -> None:
    torch.manual_seed(1)
    a = Vgg16Features(None)
    torch.manual_seed(2)
    b = Vgg16Features(None)
    picture = torch.rand(1, 3, 32, 32) * 2 - 1
    torch.testing.assert_close(a(picture)[0], b(picture)[0], rtol=0, atol=0)
    real = Vgg16Features(vgg_file)
    a.layers.load_state_dict(real.layers.state_dict())
    torch.testing.assert_close(a(picture)[0], real(picture)[0], rtol=0, atol=0)
    assert (a.name, real.name) == ("random VGG-16 conv5_3", "VGG-16 conv5_3")


def test_files_that_are_not_vgg_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    with pytest.raises(WeightsError, match="talkface weights fetch vgg16"):
        Vgg16Features(path)
    path.write_bytes(b"not torch")
    with pytest.raises(WeightsError, match="not VGG-16 weights"):
        Vgg16Features(path)
    whole = Vgg16Features(None).layers.state_dict()
    torch.save({f"features.{n}": t for n, t in whole.items()} | {"features.0.weight": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match=r"features: 0\.weight: expected \[64, 3, 3, 3\], got \[1\]"):
        Vgg16Features(path)


def test_landmark_features_have_gradients_at_any_size() -> None:
    torch.manual_seed(0)
    features = LandmarkFeatures(LandmarkNet())
    for size in (64, 128, 256):
        picture = torch.rand(2, 3, size, size, requires_grad=True)
        maps = features(picture)
        assert [m.shape[-1] for m in maps] == [64, 32, 16, 8, 4]
        sum(m.square().sum() for m in maps).backward()
        assert picture.grad is not None
        assert picture.grad.abs().sum() > 0
    assert all(p.grad is None for p in features.parameters())


def test_distance_is_zero_for_equals_and_relative_to_the_target() -> None:
    torch.manual_seed(0)
    a, b = [torch.randn(2, 3, 4, 4)], [torch.randn(2, 3, 4, 4)]
    assert torch.equal(feature_distance(b, b), torch.zeros(2))
    expected = (a[0] - b[0]).square().sum((1, 2, 3)) / b[0].square().sum((1, 2, 3))
    torch.testing.assert_close(feature_distance(a, b), expected)
    scaled = feature_distance([7 * a[0]], [7 * b[0]])
    torch.testing.assert_close(scaled, expected)
