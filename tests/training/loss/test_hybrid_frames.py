"""Hybrid windows: one contiguous generated run, and gradients that stay within it."""

from __future__ import annotations

import pytest
import torch

from training.loss.hybrid_frames import hybrid_frames, hybrid_mask


def test_mask_is_one_contiguous_run_of_every_length_and_place() -> None:
    mask = hybrid_mask(4000, 5, torch.Generator().manual_seed(0))
    rises = (mask[:, 1:].int() - mask[:, :-1].int() == 1).sum(1) + mask[:, 0].int()
    assert (rises == 1).all()
    assert set(mask.sum(1).tolist()) == {1, 2, 3, 4, 5}
    assert (mask.float().mean(0) > 0.3).all()
    assert (hybrid_mask(100, 5, torch.Generator().manual_seed(0), least=4).sum(1) >= 4).all()


def test_gradient_reaches_generated_frames_alone() -> None:
    real, fake = torch.zeros(2, 4, 3, requires_grad=True), torch.ones(2, 4, 3, requires_grad=True)
    mask = torch.tensor([[0, 1, 1, 0], [1, 0, 0, 0]]).bool()
    mixed = hybrid_frames(real, fake, mask)
    assert torch.equal(mixed.detach()[..., 0].bool(), mask)
    mixed.sum().backward()
    assert real.grad is None
    assert fake.grad is not None
    assert torch.equal(fake.grad[..., 0].bool(), mask)


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(ValueError, match="shapes disagree"):
        hybrid_frames(torch.zeros(1, 2), torch.zeros(1, 3), torch.zeros(1, 2).bool())
    with pytest.raises(ValueError, match=r"1\.\.3"):
        hybrid_mask(1, 3, torch.Generator(), least=4)
