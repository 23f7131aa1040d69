"""One training step: the terms of equation 12 for G and encoders, and the discriminators' own loss.

Phases are Gmain, Dmain and Dreg (R1 every `r1_interval` steps). Every term is a mean over clips with weights of 0 or
1 per clip, so that a batch split over processes or accumulation parts gives the same sum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from talkface_core.face.generator import Window
from talkface_core.style.input import crop_mouth
from talkface_core.tracking.landmarks import EYES, JAW, MOUTH
from training.critics.adversarial import critic_terms, generator_verdict
from training.critics.crops import eyes_and_mouth
from training.critics.interface import Critic
from training.data.sampler import HYBRID_CONTEXT, Batch
from training.loss.additions import (
    band_energy_l1,
    laplacian_l1,
    pyramid_l1,
    squared_error,
    style_innovation,
    style_rate,
    temporal_loss,
)
from training.loss.config import LossConfig
from training.loss.feature_networks import FeatureNetworks
from training.loss.frequency import focal_frequency, watson_dft
from training.loss.hybrid_frames import hybrid_frames
from training.loss.judged import identity_loss
from training.loss.paper import (
    contrastive_loss,
    landmark_sync_loss,
    weighted_sum,
)
from training.networks import Drawn, TrainNetworks, to_pictures

STYLE_LEAK = 0.95
"""Predictor coefficient of the rate term, as in the style codec."""
EXPERT_FRAMES = 2 * HYBRID_CONTEXT + 1


@dataclass(frozen=True, slots=True)
class Phase:
    """What the schedule asks of this step (training/schedule.py)."""

    gan_weight: float
    """0..1, factor on the adversarial terms."""
    sync: bool
    contrastive: bool
    straight_through: bool
    resolution_px: int
    regularise: bool
    """R1 in this step."""
    dtype: torch.dtype
    window: Window | None = None
    """The part of the picture that is drawn; None: all of it."""


def pixel_weights(points: Tensor, resolution_px: int, loss: LossConfig) -> Tensor | None:
    """[N, 1, R, R] weights of pixel losses: 1, `face_weight` in the face's box, then those of eyes and mouth.

    Args:
        points: [N, 68, 2] in fractions of the frame's side.
    """
    if loss.face_weight == 1 and loss.mouth_weight == 1 and loss.eye_weight == 0:
        return None
    centre = (torch.arange(resolution_px, device=points.device) + 0.5) / resolution_px

    def box(chosen: Tensor, margin: float) -> Tensor:
        low, high = chosen.amin(1), chosen.amax(1)
        reach = (high - low) * margin
        low, high = low - reach, high + reach
        x = (centre >= low[:, :1]) & (centre <= high[:, :1])
        y = (centre >= low[:, 1:]) & (centre <= high[:, 1:])
        return (y[:, :, None] & x[:, None, :])[:, None]

    weights = torch.ones(len(points), 1, resolution_px, resolution_px, device=points.device)
    weights = weights.masked_fill(box(points, 0.1), loss.face_weight)
    if loss.eye_weight > 0:
        weights = weights.masked_fill(box(points[:, list(EYES)], 0.15), loss.eye_weight)
    return weights.masked_fill(box(points[:, list(MOUTH)], 0.2), loss.mouth_weight)


def _pixel_terms(loss: LossConfig, real: Tensor, fake: Tensor, weights: Tensor | None) -> dict[str, Tensor]:
    """Terms that compare frames [N, 3, r, r] without a network, each [N]; those with a λ of 0 are left out."""
    functions: dict[str, Callable[[], Tensor]] = {
        "pyramid_l1": lambda: pyramid_l1(real, fake, weights),
        "laplacian": lambda: laplacian_l1(real, fake, weights),
        "band_energy": lambda: band_energy_l1(real, fake, weights),
        "focal_frequency": lambda: focal_frequency(real, fake),
        "watson": lambda: watson_dft(real, fake),
        "squared": lambda: squared_error(real, fake),
    }
    return {name: function() for name, function in functions.items() if getattr(loss, name) > 0}


def generator_terms(
    networks: TrainNetworks, features: FeatureNetworks, batch: Batch, phase: Phase, rate_scale: Tensor
) -> tuple[dict[str, Tensor], Drawn]:
    """Unweighted terms for G and encoders by path name, and what was drawn."""
    loss = networks.config.loss
    drawn = networks.draw(
        batch,
        straight_through=phase.straight_through,
        dtype=phase.dtype,
        resolution_px=phase.resolution_px,
        window=phase.window,
    )
    t = drawn.frames.shape[1]
    own = 1 - batch.cross  # [B] clips whose true frames may be compared
    real = true_frames(batch, t, phase)
    fake = drawn.frames
    flat_real, flat_fake = real.flatten(0, 1), fake.flatten(0, 1)
    own_frames = own.repeat_interleave(t)
    fractions = batch.points[:, -t:].flatten(0, 1) / batch.frames.shape[-1]
    weights = pixel_weights(fractions, phase.resolution_px, loss)
    if phase.window is not None and weights is not None:
        weights = phase.window.cut(weights)
    whole = phase.window is None
    terms = {
        f"loss/{name}": (values * own_frames).mean()
        for name, values in _pixel_terms(loss, flat_real, flat_fake, weights).items()
    }
    if loss.temporal > 0:
        terms["loss/temporal"] = (temporal_loss(real, fake) * own).mean()
    if features.perceptual is not None and (whole or features.perceptual.on_windows):
        distance = features.perceptual(flat_real, flat_fake, fractions)
        terms["loss/perceptual"] = (distance * own_frames).mean()
    if features.recogniser is not None and whole:
        terms["loss/identity"] = identity_loss(features.recogniser, flat_real, flat_fake, fractions).mean()
    wants_landmarks = (loss.sync > 0 and phase.sync) or (loss.contrastive > 0 and phase.contrastive)
    if features.landmarks is not None and wants_landmarks and whole:
        terms |= _landmark_terms(networks, features, batch, phase, drawn, flat_real)
    if loss.rate > 0 and networks.config.style.enabled and drawn.style_values.shape[1] > 1:
        bits = style_rate(drawn.style_values, networks.quantiser.steps, STYLE_LEAK, rate_scale)
        terms["loss/rate"] = bits.mean()
    if phase.gan_weight > 0:
        terms |= _adversarial_terms(networks, batch, phase, real, fake, own_frames)
    return terms, drawn


def _landmark_terms(
    networks: TrainNetworks, features: FeatureNetworks, batch: Batch, phase: Phase, drawn: Drawn, flat_real: Tensor
) -> dict[str, Tensor]:
    """Equations 10 and 11: both look at landmarks of the generated frames."""
    loss = networks.config.loss
    b, t = drawn.frames.shape[:2]
    fake_points, score = features.points_and_score(drawn.frames.flatten(0, 1))
    fake_points = fake_points.unflatten(0, (b, t))
    terms: dict[str, Tensor] = {}
    if loss.sync > 0 and phase.sync:
        with torch.no_grad():
            # The same network looks at both sides: its own bias cancels.
            real_points = features.points(flat_real).unflatten(0, (b, t))
        weights = torch.ones(b, t, 68, device=fake_points.device)
        weights[:, :, list(MOUTH)] = (loss.sync_mouth_weight * (1 - batch.cross))[:, None, None]
        weights[:, :, list(JAW)] = (loss.sync_jaw_weight * (1 - batch.cross))[:, None, None]
        if loss.sync_gated:
            weights = weights * score.unflatten(0, (b, t))[:, :, None]
        terms["loss/sync"] = landmark_sync_loss(real_points, fake_points, weights) / t
    if loss.contrastive > 0 and phase.contrastive and features.lip_expert is not None:
        terms["loss/contrastive"] = _contrastive_term(networks, features, batch, drawn, fake_points)
    return terms


def _contrastive_term(
    networks: TrainNetworks, features: FeatureNetworks, batch: Batch, drawn: Drawn, fake_points: Tensor
) -> Tensor:
    """Equation 11 on hybrid sequences: one pair per drawn frame, positive or negative as the batch says."""
    assert features.lip_expert is not None
    assert networks.audio_head is not None
    assert networks.visual_head is not None
    b, t = fake_points.shape[:2]
    true_points = batch.hybrid_points / batch.frames.shape[-1]
    edges = true_points[:, :HYBRID_CONTEXT], true_points[:, HYBRID_CONTEXT + t :]
    generated = torch.cat([edges[0], fake_points, edges[1]], dim=1)
    hybrid = hybrid_frames(true_points, generated, batch.hybrid_mask)
    spans = hybrid.unfold(1, EXPERT_FRAMES, 1).movedim(-1, 2)  # [B, T, 5, 68, 2]
    visual = F.normalize(networks.visual_head(features.lip_expert.embed_lips(spans.flatten(0, 1))), dim=1)
    positive = batch.positive.bool()
    e = torch.where(positive[:, None, None], drawn.audio_embedding, networks.encode_audio(batch.other_windows))
    audio = F.normalize(networks.audio_head(e.flatten(0, 1)), dim=1)
    # Silent clips have no pair; a foreign sound fits no true frame of the hybrid.
    usable = (batch.has_sound * (1 - batch.cross)).repeat_interleave(t)[:, None]
    labels = positive.repeat_interleave(t)
    # A pair that must not count is made of one vector twice, labelled positive: distance 0.
    audio = torch.where(usable.bool(), audio, visual.detach())
    visual = torch.where(usable.bool(), visual, visual.detach())
    labels = labels | ~usable[:, 0].bool()
    return contrastive_loss(audio, visual, labels, networks.config.loss.margin) / (b * t)


def _adversarial_terms(
    networks: TrainNetworks, batch: Batch, phase: Phase, real: Tensor, fake: Tensor, own_frames: Tensor
) -> dict[str, Tensor]:
    """Equation 9, feature matching, and the mouth discriminator's share; D's weights get no gradient from here."""
    loss = networks.config.loss
    clips = (fake.shape[0], fake.shape[1])
    terms: dict[str, Tensor] = {}
    for name, critic in _critics(networks, phase):
        true, drawn = (_shown(networks, batch, frames, name) for frames in (real, fake))
        matching = name == "D" and loss.feature_matching > 0
        verdict = generator_verdict(critic, true, drawn, clips, loss.gan, match_features=matching, dtype=phase.dtype)
        terms["loss/adversarial" if name == "D" else "loss/mouth_adversarial"] = verdict.adversarial / clips[1]
        if verdict.feature_matching is not None:
            terms["loss/feature_matching"] = (verdict.feature_matching * own_frames).mean()
    return terms


def discriminator_terms(networks: TrainNetworks, batch: Batch, phase: Phase, drawn_frames: Tensor) -> dict[str, Tensor]:
    """Losses of both discriminators on detached frames; with gradient penalties when the phase says so."""
    clips = (drawn_frames.shape[0], drawn_frames.shape[1])
    fake = drawn_frames.detach()
    real = true_frames(batch, clips[1], phase)
    game = networks.config.loss.gan
    terms: dict[str, Tensor] = {}
    for name, critic in _critics(networks, phase):
        true, drawn = (_shown(networks, batch, frames, name) for frames in (real, fake))
        own = critic_terms(critic, true, drawn, clips, game, regularise=phase.regularise, dtype=phase.dtype)
        terms[f"loss/{name}"] = own.pop("loss") / clips[1]
        terms |= {f"reg/{penalty}_{name}": value for penalty, value in own.items()}
    return terms


def _critics(networks: TrainNetworks, phase: Phase) -> list[tuple[str, Critic]]:
    """The discriminators that this step asks, by name."""
    both = (("D", networks.discriminator), ("D_mouth", networks.mouth_discriminator))
    return [(name, critic) for name, critic in both if critic is not None and judged(networks, phase, name)]


def judged(networks: TrainNetworks, phase: Phase, critic: str) -> bool:
    """Whether a discriminator sees this step: with windows D sees windows, and the mouth's D whole faces."""
    return networks.config.train.window_px == 0 or (phase.window is None) == (critic == "D_mouth")


def true_frames(batch: Batch, num_frames: int, phase: Phase) -> Tensor:
    """The last `num_frames` of the batch as [B, T, 3, r, r] in [-1, 1], the phase's window of them."""
    pixels = batch.frames[:, -num_frames:].flatten(0, 1)
    real = to_pictures(pixels if phase.window is None else phase.window.cut(pixels))
    if phase.window is None and real.shape[-1] != phase.resolution_px:
        real = F.interpolate(real, size=(phase.resolution_px, phase.resolution_px), mode="area")
    return real.unflatten(0, (batch.size, num_frames))


def _shown(networks: TrainNetworks, batch: Batch, frames: Tensor, critic: str) -> Tensor:
    """What a discriminator sees of frames [B, T, 3, r, r]: all, or what lies at the true mouths' (and eyes') places."""
    pictures = frames.flatten(0, 1)
    if critic == "D":
        return pictures
    points = batch.points[:, -frames.shape[1] :].flatten(0, 1) * (frames.shape[-1] / batch.frames.shape[-1])
    cut = eyes_and_mouth if networks.config.model.discriminator == "projected" else crop_mouth
    return cut(pictures, points)


def generator_weights(loss: LossConfig, gan_weight: float) -> dict[str, float]:
    """λ by path name (eq. 12)."""
    plain = (
        "pyramid_l1",
        "laplacian",
        "band_energy",
        "focal_frequency",
        "watson",
        "squared",
        "temporal",
        "perceptual",
        "identity",
        "sync",
        "contrastive",
        "rate",
    )
    adversarial = ("adversarial", "feature_matching", "mouth_adversarial")
    weights = {f"loss/{name}": float(getattr(loss, name)) for name in plain}
    return weights | {f"loss/{name}": float(getattr(loss, name)) * gan_weight for name in adversarial}


def discriminator_weights(loss: LossConfig) -> dict[str, float]:
    """R1 and R2 on every n-th step count n times (lazy regularisation)."""
    gamma = loss.r1_gamma * loss.r1_interval
    penalties = {f"reg/{penalty}_{name}": gamma for penalty in ("r1", "r2") for name in ("D", "D_mouth")}
    return {"loss/D": 1.0, "loss/D_mouth": 1.0, **penalties}


def total(terms: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    """Equation 12."""
    return weighted_sum(terms, weights)


def innovation_scale(values: Tensor, steps: Tensor) -> Tensor:
    """[V] mean |innovation| of a batch in steps, for the running Laplace scale."""
    return style_innovation(values.detach(), steps, STYLE_LEAK).abs().mean(dim=(0, 1))
