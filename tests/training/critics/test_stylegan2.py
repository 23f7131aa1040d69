"""D: shapes, the residual block against plain parts, minibatch deviation, R1's double gradient."""

from __future__ import annotations

import math

import stylegan2_reference as reference
import torch
import torch.nn.functional as F

from training.critics.stylegan2 import Discriminator, DiscriminatorConfig, ResidualBlock, minibatch_stddev

CONFIG = DiscriminatorConfig(resolution_px=32, channel_base=128, channel_max=16)


def test_logits_and_feature_maps() -> None:
    torch.manual_seed(0)
    logits, features = Discriminator(CONFIG)(torch.randn(4, 3, 32, 32))
    assert logits.shape == (4,)
    assert [list(f.shape[2:]) for f in features] == [[16, 16], [8, 8], [4, 4]]
    stacked = Discriminator(DiscriminatorConfig(resolution_px=16, in_channels=9, channel_base=64, channel_max=8))
    assert stacked(torch.randn(2, 9, 16, 16))[0].shape == (2,)


def test_residual_block_equals_filter_then_decimate() -> None:
    torch.manual_seed(0)
    block = ResidualBlock(4, 6)
    x = torch.randn(2, 4, 8, 8)
    y = reference.lrelu(F.conv2d(x, block.conv.weight / math.sqrt(36), padding=1))
    filtered = reference.upfirdn2d(y, up=1, padding=(2, 2), gain=1.0)
    main = reference.lrelu(F.conv2d(filtered, block.down.weight / math.sqrt(36), stride=2)) * math.sqrt(0.5)
    low = reference.upfirdn2d(x, up=1, padding=(1, 1), gain=1.0)[:, :, ::2, ::2]
    skip = F.conv2d(low, block.skip.weight / math.sqrt(4)) * math.sqrt(0.5)
    torch.testing.assert_close(block(x), main + skip, rtol=1e-4, atol=1e-5)


def test_minibatch_deviation_is_the_mean_deviation_over_groups() -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 5, 4, 4)
    out = minibatch_stddev(x, 3)
    assert out.shape == (6, 6, 4, 4)
    for first in (0, 1):  # samples first, first + 2, first + 4 form a group
        group = x[first::2]
        expected = (group.var(0, unbiased=False) + 1e-8).sqrt().mean()
        for index in range(first, 6, 2):
            torch.testing.assert_close(out[index, 5], expected.expand(4, 4))
    # A group of one sees no deviation beyond the epsilon, whatever the batch.
    torch.testing.assert_close(minibatch_stddev(x, 1)[:, 5], torch.full((6, 4, 4), 1e-4))


def test_r1_needs_a_double_gradient_and_has_one() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(CONFIG)
    pictures = torch.randn(2, 3, 32, 32, requires_grad=True)
    (gradient,) = torch.autograd.grad(discriminator(pictures)[0].sum(), pictures, create_graph=True)
    penalty = gradient.square().sum(dim=(1, 2, 3)).mean()
    penalty.backward()
    grads = [p.grad for p in discriminator.parameters() if p.grad is not None]
    assert len(grads) > 8
    assert all(torch.isfinite(g).all() for g in grads)


def test_gradient_matches_finite_differences() -> None:
    torch.manual_seed(0)
    block = ResidualBlock(2, 3).double()
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(block, (x,))


def test_bfloat16_logits_stay_near() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(CONFIG)
    pictures = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        full, half = discriminator(pictures)[0], discriminator(pictures, dtype=torch.bfloat16)[0]
    assert half.dtype == torch.float32
    assert (full - half).abs().max() < 0.15 * (full.std() + full.abs().mean())
