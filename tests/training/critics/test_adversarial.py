"""Both games of G and D against their formulas, on a discriminator that is a known function."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from training.critics.adversarial import critic_terms, generator_verdict
from training.critics.interface import Critic


class Plane(Critic):
    """D(x) = w · x, heads and places by taste; what it judges is twice the picture."""

    def __init__(self, num_places: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.5, -1.0, 2.0]))
        self.num_places = num_places

    def look(self, pictures: Tensor, *, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        return [pictures * 2]

    def judge(self, seen: list[Tensor], *, dtype: torch.dtype = torch.float32) -> tuple[Tensor, list[Tensor]]:
        logits = (seen[0].mean(dim=(2, 3)) * self.weight).sum(dim=1)
        if self.num_places:
            logits = logits[:, None, None].expand(-1, 2, self.num_places)
        return logits, [seen[0] * self.weight.view(1, 3, 1, 1)]


def pictures(seed: int) -> Tensor:
    """[6, 3, 2, 2]: two clips of three frames."""
    return torch.randn(6, 3, 2, 2, generator=torch.Generator().manual_seed(seed))


def verdicts(x: Tensor) -> list[float]:
    return [sum(w * 2 * float(c.mean()) for w, c in zip((0.5, -1.0, 2.0), p, strict=True)) for p in x]


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


REAL, FAKE = pictures(0), pictures(1)


@pytest.mark.parametrize("num_places", [0, 5])
def test_generator_s_side_of_both_games(num_places: int) -> None:
    critic = Plane(num_places)
    plain = generator_verdict(critic, REAL, FAKE, (2, 3), "non_saturating")
    assert float(plain.adversarial) == pytest.approx(sum(softplus(-d) for d in verdicts(FAKE)) / 2, rel=1e-5)
    assert plain.feature_matching is None
    paired = generator_verdict(critic, REAL, FAKE, (2, 3), "relativistic")
    expected = sum(softplus(r - f) for r, f in zip(verdicts(REAL), verdicts(FAKE), strict=True)) / 2
    assert float(paired.adversarial) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("num_places", [0, 5])
def test_discriminator_s_side_of_both_games(num_places: int) -> None:
    critic = Plane(num_places)
    plain = critic_terms(critic, REAL, FAKE, (2, 3), "non_saturating", regularise=True)
    expected = sum(softplus(-r) + softplus(f) for r, f in zip(verdicts(REAL), verdicts(FAKE), strict=True)) / 2
    assert set(plain) == {"loss", "r1"}
    assert float(plain["loss"]) == pytest.approx(expected, rel=1e-5)
    # Gradient for what is judged: w / 4 at each of four pixels; two heads see it twice.
    heads = 2 if num_places else 1
    assert float(plain["r1"]) == pytest.approx(heads**2 * (0.25 + 1 + 4) / 4, rel=1e-5)
    paired = critic_terms(critic, REAL, FAKE, (2, 3), "relativistic", regularise=True)
    expected = sum(softplus(f - r) for r, f in zip(verdicts(REAL), verdicts(FAKE), strict=True)) / 2
    assert float(paired["loss"]) == pytest.approx(expected, rel=1e-5)
    assert float(paired["r2"]) == pytest.approx(float(plain["r1"]))
    assert set(critic_terms(critic, REAL, FAKE, (2, 3), "relativistic", regularise=False)) == {"loss"}


@pytest.mark.parametrize("game", ["non_saturating", "relativistic"])
def test_each_side_moves_its_own_weights(game: str) -> None:
    critic, fake = Plane(), FAKE.clone().requires_grad_()
    verdict = generator_verdict(critic, REAL, fake, (2, 3), game, match_features=True)  # type: ignore[arg-type]
    assert verdict.feature_matching is not None
    assert verdict.feature_matching.shape == (6,)
    (verdict.adversarial + verdict.feature_matching.mean()).backward()
    assert critic.weight.grad is None
    assert critic.weight.requires_grad
    assert fake.grad is not None
    fake.grad = None
    terms = critic_terms(critic, REAL, fake, (2, 3), game, regularise=True)  # type: ignore[arg-type]
    sum(terms.values()).backward()  # type: ignore[union-attr]
    assert critic.weight.grad is not None
    assert fake.grad is None
