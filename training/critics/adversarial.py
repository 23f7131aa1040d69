"""The adversarial terms of a step, for G and for a discriminator, in both forms of the game.

* Non-saturating (eq. 9): D tells true from drawn pictures, G wants drawn ones to be taken for true.
* Relativistic (Jolicoeur-Martineau 2019; Huang et al., R3GAN, NeurIPS 2024): D says which of a pair is the true one;
  here a pair is a true frame and its own redrawing. Penalties on both sides (R1 on true, R2 on drawn) make it converge.

Shapes: N pictures = B clips x T frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from training.critics.interface import Critic, frozen
from training.loss.additions import feature_matching_loss
from training.loss.paper import adversarial_loss, discriminator_loss, r1_penalty

Game = Literal["non_saturating", "relativistic"]


@dataclass(frozen=True, slots=True)
class GeneratorVerdict:
    """What a discriminator tells G."""

    adversarial: Tensor
    """Scalar: Σ over T, mean over B"""
    feature_matching: Tensor | None
    """[N], when asked for"""


def generator_verdict(
    critic: Critic,
    real: Tensor,
    fake: Tensor,
    clips: tuple[int, int],
    game: Game,
    *,
    match_features: bool = False,
    dtype: torch.dtype = torch.float32,
) -> GeneratorVerdict:
    """Judge drawn pictures; the discriminator's weights get no gradient.

    Args:
        real, fake: [N, C, R, R] in [-1, 1].
        clips: (B, T).
    """
    with frozen(critic):
        logits, fake_maps = critic(fake, dtype=dtype)
        real_logits, real_maps = None, None
        if match_features or game == "relativistic":
            with torch.no_grad():
                real_logits, real_maps = critic(real, dtype=dtype)
        if game == "relativistic":
            assert real_logits is not None
            logits = logits - real_logits
        matching = None
        if match_features:
            assert real_maps is not None
            matching = feature_matching_loss([m.float() for m in real_maps], [m.float() for m in fake_maps])
    return GeneratorVerdict(adversarial_loss(logits.unflatten(0, clips)), matching)


def critic_terms(
    critic: Critic,
    real: Tensor,
    fake: Tensor,
    clips: tuple[int, int],
    game: Game,
    *,
    regularise: bool,
    dtype: torch.dtype = torch.float32,
) -> dict[str, Tensor]:
    """A discriminator's own terms on detached pictures.

    Returns:
        "loss" (Σ over T, mean over B), and when `regularise` is set "r1", in the relativistic game also "r2".
    """
    with torch.no_grad():
        seen_real, seen_fake = critic.look(real, dtype=dtype), critic.look(fake, dtype=dtype)
    real_logits, fake_logits = (critic.judge(s, dtype=dtype)[0].unflatten(0, clips) for s in (seen_real, seen_fake))
    if game == "relativistic":
        terms = {"loss": adversarial_loss(real_logits - fake_logits)}
    else:
        terms = {"loss": discriminator_loss(real_logits, fake_logits)}
    if regularise:
        terms["r1"] = _penalty(critic, seen_real)
        if game == "relativistic":
            terms["r2"] = _penalty(critic, seen_fake)
    return terms


def _penalty(critic: Critic, seen: Sequence[Tensor]) -> Tensor:
    """Squared gradient of the verdict for what the judging half saw: places of one head are averaged, heads summed."""
    inputs = [s.detach().float().requires_grad_() for s in seen]
    logits, _ = critic.judge(inputs)
    return r1_penalty(inputs, logits.mean(dim=2) if logits.ndim == 3 else logits)
