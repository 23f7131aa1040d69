"""The projected discriminator: what is frozen, what learns, what the mixing keeps, and that it can tell."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from talkface_core.judges.efficientnet import STAGES, EfficientNetLite0, load_efficientnet
from training.critics.projected import LEVEL_SIZES, LEVELS, MIXED_CHANNELS, Mixer, ProjectedDiscriminator


@pytest.fixture(scope="module")
def network() -> EfficientNetLite0:
    return load_efficientnet()


def discriminator(network: EfficientNetLite0) -> ProjectedDiscriminator:
    torch.manual_seed(0)
    return ProjectedDiscriminator(network)


def pictures(count: int, side: int = 64, seed: int = 0) -> Tensor:
    """[N, 3, side, side] smooth colours in [-1, 1]."""
    rng = torch.Generator().manual_seed(seed)
    return F.interpolate(torch.rand(count, 3, 8, 8, generator=rng) * 2 - 1, size=(side, side), mode="bicubic").clamp(
        -1, 1
    )


@pytest.mark.parametrize("side", [32, 64, 128])
def test_verdicts_of_four_heads_at_sixteen_places(network: EfficientNetLite0, side: int) -> None:
    critic = discriminator(network)
    seen = critic.look(pictures(2, side))
    assert [tuple(s.shape[1:]) for s in seen] == [
        (c, side // stride, side // stride) for c, stride in zip(MIXED_CHANNELS, (4, 8, 16, 32), strict=True)
    ]
    logits, maps = critic(pictures(2, side))
    assert logits.shape == (2, 4, 16)
    assert len(maps) == 4
    torch.testing.assert_close(logits, critic.judge(seen)[0])


def test_mixing_is_the_drawn_sum() -> None:
    """Level by level: 1x1, plus the coarser result enlarged, 3x3; the kernels are the same for every instance."""
    rng = torch.Generator().manual_seed(1)
    maps = [
        torch.randn(1, STAGES[level - 1].channels, s, s, generator=rng)
        for level, s in zip(LEVELS, (16, 8, 4, 2), strict=True)
    ]
    mixer = Mixer()
    got = mixer([m * size for m, size in zip(maps, LEVEL_SIZES, strict=True)])
    above = None
    for index in (3, 2, 1, 0):
        x = torch.einsum("oi,nihw->nohw", mixer.get_buffer(f"across{index}")[:, :, 0, 0], maps[index])
        if above is not None:
            x = (x + F.interpolate(above, scale_factor=2, mode="bilinear", align_corners=False)) / 2**0.5
        above = F.conv2d(x, mixer.get_buffer(f"between{index}"), padding=1)
        torch.testing.assert_close(got[index], above, atol=1e-4, rtol=1e-4)
        assert index == 3 or 0.6 < float(above[..., 1:-1, 1:-1].std()) < 1.5
    assert not list(mixer.parameters())
    assert not mixer.state_dict()
    torch.testing.assert_close(Mixer().get_buffer("across0"), mixer.get_buffer("across0"))


def test_only_heads_are_trained_and_stored(network: EfficientNetLite0) -> None:
    critic = discriminator(network)
    names = set(critic.state_dict())
    assert names == {name for name, _ in critic.named_parameters()}
    assert all(name.startswith("heads.") for name in names)
    assert sum(p.numel() for p in critic.parameters()) < 300_000
    critic(pictures(2))[0].mean().backward()
    assert all(p.grad is not None for p in critic.parameters())
    assert not any(p.requires_grad for p in network.parameters())


def test_gradients_reach_the_pictures(network: EfficientNetLite0) -> None:
    x = pictures(1).requires_grad_()
    discriminator(network)(x)[0].mean().backward()
    assert x.grad is not None
    assert float(x.grad.abs().sum()) > 0


def test_the_frozen_network_moves_along_and_is_copied(network: EfficientNetLite0) -> None:
    critic = copy.deepcopy(discriminator(network)).double()
    assert critic(pictures(1).double())[0].dtype == torch.float32
    assert next(critic._network[0].parameters()).dtype == torch.float64
    assert next(network.parameters()).dtype == torch.float32


def test_heads_learn_to_tell_sharp_from_soft(network: EfficientNetLite0) -> None:
    """Sixty steps tell noise that was blurred a little from noise that was not, on pictures never seen."""
    critic = discriminator(network)
    optimizer = torch.optim.Adam(critic.parameters(), lr=2e-3, betas=(0.0, 0.99))

    def pair(seed: int) -> tuple[Tensor, Tensor]:
        sharp = pictures(4, 64, seed) + 0.2 * torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(seed))
        return sharp, F.avg_pool2d(sharp, 3, 1, 1)

    for step in range(60):
        sharp, soft = pair(step)
        with torch.no_grad():
            seen = critic.look(sharp), critic.look(soft)
        loss = F.softplus(-critic.judge(seen[0])[0]).mean() + F.softplus(critic.judge(seen[1])[0]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        sharp, soft = pair(1000)
        assert float(critic(sharp)[0].mean((1, 2)).min()) > float(critic(soft)[0].mean((1, 2)).max())
