"""Each equation against numpy written straight from the paper, and its gradient in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from training.loss.paper import (
    adversarial_loss,
    contrastive_loss,
    discriminator_loss,
    landmark_sync_loss,
    perceptual_loss,
    r1_penalty,
    weighted_sum,
)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_perceptual_loss_is_equation_8() -> None:
    real, fake = random(6, 4, 5, 5), random(6, 4, 5, 5, seed=1)
    expected = [float(np.mean((r.numpy() - f.numpy()) ** 2)) for r, f in zip(real, fake, strict=True)]
    assert perceptual_loss([real], [fake]).tolist() == pytest.approx(expected, rel=1e-12)
    assert perceptual_loss([real, real], [fake, real]).tolist() == pytest.approx(expected, rel=1e-12)


def test_perceptual_loss_refuses_unequal_numbers_of_maps() -> None:
    with pytest.raises(ValueError, match="1 and 0"):
        perceptual_loss([random(1, 1, 1, 1)], [])


def test_adversarial_loss_is_equation_9() -> None:
    logits = random(2, 3)
    expected = sum(-math.log(1 / (1 + math.exp(-x))) for x in logits.flatten().tolist()) / 2
    assert adversarial_loss(logits).item() == pytest.approx(expected, rel=1e-12)


def test_adversarial_loss_averages_patches() -> None:
    logits = random(2, 3)
    assert adversarial_loss(logits[..., None, None].expand(2, 3, 4, 4)).item() == pytest.approx(
        adversarial_loss(logits).item()
    )


def test_discriminator_loss_is_the_negative_log_likelihood() -> None:
    real, fake = random(1, 4), random(1, 4, seed=3)

    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    expected = -sum(math.log(sigmoid(x)) for x in real[0].tolist())
    expected -= sum(math.log(1 - sigmoid(x)) for x in fake[0].tolist())
    assert discriminator_loss(real, fake).item() == pytest.approx(expected, rel=1e-10)


def test_adversarial_loss_survives_extreme_logits() -> None:
    assert torch.isfinite(discriminator_loss(torch.tensor([[-1e4]]), torch.tensor([[1e4]])))


def test_r1_penalty_of_a_known_function() -> None:
    frames = random(3, 1, 2, 2).requires_grad_()
    logits = frames.square().sum(dim=(1, 2, 3))  # gradient 2x, so the penalty is 4 ‖x‖²
    expected = 4 * frames.detach().square().sum(dim=(1, 2, 3)).mean()
    penalty = r1_penalty([frames], logits)
    assert penalty.item() == pytest.approx(expected.item())
    penalty.backward()
    assert frames.grad is not None
    other = random(3, 2, 1, 1).requires_grad_()
    both = r1_penalty([frames, other], frames.square().sum() + 3 * other.sum())
    assert both.item() == pytest.approx(expected.item() + 9 * 2)


def test_landmark_sync_loss_is_equation_10() -> None:
    real, fake = random(2, 3, 68, 2), random(2, 3, 68, 2, seed=1)
    expected = np.abs(real.numpy() - fake.numpy()).sum() / 2
    assert landmark_sync_loss(real, fake).item() == pytest.approx(float(expected), rel=1e-12)
    weights = torch.zeros(68, dtype=torch.float64)
    weights[48:] = 2
    mouth = 2 * np.abs(real.numpy() - fake.numpy())[:, :, 48:].sum() / 2
    assert landmark_sync_loss(real, fake, weights).item() == pytest.approx(float(mouth), rel=1e-12)


def test_contrastive_loss_is_equation_11() -> None:
    audio, visual = random(6, 8), random(6, 8, seed=1) * 0.3 + random(6, 8) * 0.9
    y = torch.tensor([1, 0, 1, 0, 0, 1])
    margin = 4.0
    expected = 0.0
    for i in range(6):
        distance = float(np.linalg.norm(audio[i].numpy() - visual[i].numpy()))
        expected += (y[i].item() * distance**2 + (1 - y[i].item()) * max(0.0, margin - distance) ** 2) / 2
    assert contrastive_loss(audio, visual, y, margin).item() == pytest.approx(expected, rel=1e-9)


def test_contrastive_loss_pushes_a_negative_only_within_the_margin() -> None:
    far = contrastive_loss(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]), torch.tensor([0]), 5.0)
    assert far.item() == 0
    touching = torch.zeros(1, 2, requires_grad=True)
    contrastive_loss(torch.zeros(1, 2), touching, torch.tensor([0]), 1.0).backward()
    assert touching.grad is not None
    assert torch.isfinite(touching.grad).all()


def test_weighted_sum_is_equation_12() -> None:
    terms = {"loss/perceptual": torch.tensor(2.0), "loss/sync": torch.tensor(3.0)}
    assert weighted_sum(terms, {"loss/perceptual": 0.5, "loss/sync": 10, "loss/other": 1}).item() == 31
    with pytest.raises(ValueError, match="loss/sync"):
        weighted_sum(terms, {"loss/perceptual": 1})
    with pytest.raises(ValueError, match="no loss term"):
        weighted_sum({}, {})


@pytest.mark.parametrize("name", ["perceptual", "adversarial", "sync", "contrastive"])
def test_gradients_agree_with_finite_differences(name: str) -> None:
    fixed = random(2, 2, 3, 2)
    functions = {
        "perceptual": lambda x: perceptual_loss([fixed], [x]),
        "adversarial": lambda x: adversarial_loss(x),
        "sync": lambda x: landmark_sync_loss(fixed, x),
        "contrastive": lambda x: contrastive_loss(
            fixed.reshape(4, 6), x.reshape(4, 6), torch.tensor([1, 0, 1, 0]), 9.0
        ),
    }
    assert torch.autograd.gradcheck(functions[name], (random(2, 2, 3, 2, seed=7).requires_grad_(),))
