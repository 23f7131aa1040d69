"""The paper's four losses and their weighted sum, equations (8) to (12), as pure functions.

Every sum over t is a sum, as printed; the batch is averaged. The training loop divides by T once, for all terms
alike, so that the λ of a recipe do not depend on the clip length (Adam does not see a common factor anyway).

Shapes: B clips, T frames per clip, N pairs, C feature channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def perceptual_loss(real_features: Sequence[Tensor], fake_features: Sequence[Tensor]) -> Tensor:
    """‖v_t - v̂_t‖² of single frames on feature maps (eq. 8, L_perc = Σ_t); the caller sums or averages.

    The equation prints a norm, the text calls it mean square error; we follow the text, so that the size of a
    feature map does not weigh it. One map (VGG-16's last convolution) is the paper; more maps are summed.

    Args:
        real_features: maps of the true frames, each [N, C, H, W].
        fake_features: maps of the generated frames, same shapes.

    Returns:
        [N]; 0 where the frames agree.

    Raises:
        ValueError: different numbers of maps, or none.
    """
    if not real_features or len(real_features) != len(fake_features):
        raise ValueError(
            f"perceptual_loss: needs as many real as generated maps, got {len(real_features)} and {len(fake_features)}"
        )
    terms = [(r - f).square().mean(dim=(1, 2, 3)) for r, f in zip(real_features, fake_features, strict=True)]
    return torch.stack(terms).sum(dim=0)


def adversarial_loss(fake_logits: Tensor) -> Tensor:
    """L_adv = Σ_t -log D(v̂_t) with D = sigmoid(logit) (eq. 9): the non-saturating generator loss.

    Args:
        fake_logits: [B, T] or [B, T, ...] scores of generated frames before the sigmoid; further axes (patches)
            are averaged.
    """
    per_frame = F.softplus(-fake_logits).flatten(2).mean(2) if fake_logits.ndim > 2 else F.softplus(-fake_logits)
    return per_frame.sum(dim=1).mean()


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Σ_t -log D(v_t) - log(1 - D(v̂_t)): the negative log-likelihood that D is trained with (text of eq. 9).

    Args:
        real_logits, fake_logits: [B, T] or [B, T, ...], as in `adversarial_loss`.
    """
    return adversarial_loss(real_logits) + adversarial_loss(-fake_logits)


def r1_penalty(inputs: Sequence[Tensor], logits: Tensor) -> Tensor:
    """E ‖∇_x D(x)‖² over true frames (Mescheder et al., "Which training methods for GANs do actually converge?").

    Multiply by γ/2. Needs a second derivative, so D must run eagerly here. On drawn frames it is R2.

    Args:
        inputs: what D saw, one or more tensors [N, C, H, W] with requires_grad.
        logits: what D answered, any shape.
    """
    gradients = torch.autograd.grad(logits.sum(), list(inputs), create_graph=True)
    return torch.stack([g.square().flatten(1).sum(1) for g in gradients]).sum(0).mean()


def landmark_sync_loss(real_points: Tensor, fake_points: Tensor, weights: Tensor | None = None) -> Tensor:
    """L_sync = Σ_t Σ_i ‖f_{i,t} - f̂_{i,t}‖₁ over 68 facial points (eq. 10).

    Args:
        real_points, fake_points: [B, T, 68, 2] in units of the caller (we use fractions of the crop's side).
        weights: [68], or [B, T, 68]; None weighs all points alike, as the paper does.
    """
    distance = (real_points - fake_points).abs().sum(-1)  # [B, T, 68]
    if weights is not None:
        distance = distance * weights
    return distance.sum(dim=(1, 2)).mean()


def contrastive_loss(audio: Tensor, visual: Tensor, is_positive: Tensor, margin: float) -> Tensor:
    """L_cont = Σ_i [y_i ‖e_i - v_i‖² + (1 - y_i) max(0, m - ‖e_i - v_j‖)²] / 2 (eq. 11).

    Args:
        audio: [N, C] embeddings e.
        visual: [N, C] embeddings: v_i where `is_positive`, some v_j elsewhere.
        is_positive: [N] bool or 0/1, the y_i.
        margin: m, the least distance of pairs that do not belong together.
    """
    squared = (audio - visual).square().sum(-1)
    # sqrt has an infinite gradient at 0: a negative pair that coincides would give NaN.
    distance = squared.clamp_min(1e-12).sqrt()
    y = is_positive.to(squared.dtype)
    return ((y * squared + (1 - y) * (margin - distance).clamp_min(0).square()) / 2).sum()


def weighted_sum(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """L = Σ_k λ_k L_k (eq. 12).

    Raises:
        ValueError: a term has no weight, or there is no term.
    """
    if not terms:
        raise ValueError("weighted_sum: no loss term; give at least one of the weights a value above 0")
    missing = sorted(set(terms) - set(weights))
    if missing:
        raise ValueError(f"weighted_sum: no weight for {', '.join(missing)}")
    total: Tensor | None = None
    for name, value in terms.items():
        total = weights[name] * value if total is None else total + weights[name] * value
    assert total is not None
    return total
