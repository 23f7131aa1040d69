"""Pivotal tuning: a general generator learns one face from a picture or a few frames, in a minute on two cores.

Roich et al., "Pivotal Tuning for Latent-based Editing of Real Images" (PTI): start at the identity that E_image gives,
then change the generator itself a little, so that it draws this face, while other latents keep drawing what they drew.
Tuned are per-layer offsets (the pivot), the affines that turn latents into styles, biases, colours, and noise where it
may stand still. Judged by trained networks beside the pixels. Sound must go on to move lips as the prior has it: a
picture teaches nothing about speech, and without that term one face in seven lost its lips.

Shapes: N pictures shown, D latent dimension, L generator layers, R resolution.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from talkface_core.face.generator import Generator, SynthesisLayer, ToRgb
from talkface_core.face.networks import FaceNetworks, base_latents
from talkface_core.interfaces import FaceIdentity
from talkface_core.judges import efficientnet, face_recognition
from talkface_core.judges.efficientnet import load_efficientnet
from talkface_core.judges.face_recognition import load_face_recogniser
from talkface_core.tracking.landmarks import CROP_PX, INNER_LIPS, OUTER_EYE_CORNERS, load_landmark_net


@dataclass(frozen=True, kw_only=True, slots=True)
class TuningConfig:
    """How a face is tuned."""

    seconds: float = 60.0
    """Wall time; the steps are as many as fit."""
    max_steps: int = 100_000
    """An upper bound on steps, for runs that must not depend on the machine."""
    rate_offsets: float = 5e-3
    """Adam's rate of the per-layer offsets."""
    rate_noise: float = 1e-2
    """Of noise maps."""
    rate_weights: float = 1e-3
    """Of affines, biases and colours."""
    noise_px: int = 16
    """Noise maps up to this side are tuned: larger ones would hold the face's features still while the head moves."""
    look: float = 0.3
    """Weight of EfficientNet's maps."""
    identity: float = 0.5
    """Weight of the recogniser's distance."""
    locality: float = 0.5
    """Weight of staying the same for other latents."""
    lips: float = 4.0
    """Weight of moving lips with the sound as before, in distances between the eyes."""
    pivot: float = 0.1
    """Weight of offsets near E_image's guess."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.seconds > 0 and self.max_steps >= 1):
            raise ValueError(f"tuning needs time and steps, not {self.seconds} s and {self.max_steps} steps")

    def networks(self) -> tuple[str, ...]:
        """Kinds of trained networks that tuning looks through: no judges of what comes out."""
        weights = {efficientnet.KIND: self.look, face_recognition.KIND: self.identity, "landmarks": self.lips}
        return tuple(name for name, weight in weights.items() if weight > 0)


@dataclass(frozen=True, slots=True)
class Shown:
    """Pictures of the person, each with what moves in it."""

    pictures: Tensor
    """[N, 3, R, R] in [-1, 1]"""
    points: Tensor
    """[N, 68, 2] pixels"""
    moving: Tensor
    """[N, D] e + d of each picture"""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Latents whose drawings must stay as they were."""

    others: Tensor
    """[K, L, D] latents of other people."""
    sounds: Tensor
    """[S, D] e of different sounds, to see whether lips still follow."""


@dataclass(frozen=True, slots=True)
class TunedFace:
    """One person's generator and pivot."""

    generator: Generator
    identity: FaceIdentity
    steps: int
    seconds: float

    def networks(self, general: FaceNetworks) -> FaceNetworks:
        """The general model's networks with this person's generator."""
        own = copy.copy(general)
        own._modules = {**general._modules, "generator": self.generator}
        return own


@dataclass(frozen=True, slots=True)
class TuningProgress:
    """What is known after a step."""

    step: int
    elapsed_s: float
    terms: dict[str, float]


def pixel_pyramid(fake: Tensor, real: Tensor) -> Tensor:
    """Sum of L1 at 1, 1/2, 1/4 and 1/8 of the resolution, scalar."""
    sizes = (1, 2, 4, 8)
    parts = [F.l1_loss(F.avg_pool2d(fake, k), F.avg_pool2d(real, k)) if k > 1 else F.l1_loss(fake, real) for k in sizes]
    return torch.stack(parts).sum()


def mouth_openings(points: Tensor) -> Tensor:
    """[N, 68, 2] to [N]: distance of the inner lips in distances between the outer eye corners."""
    upper, lower = points[:, INNER_LIPS[2]], points[:, INNER_LIPS[6]]
    right, left = (points[:, i] for i in OUTER_EYE_CORNERS)
    return (upper - lower).norm(dim=-1) / (right - left).norm(dim=-1).clamp_min(1e-6)


class _Judges:
    """The frozen networks that tuning looks through, with what they see in the true pictures."""

    def __init__(self, shown: Shown) -> None:
        self._efficientnet, self._recogniser = load_efficientnet(), load_face_recogniser()
        self._landmarks = load_landmark_net().requires_grad_(False).eval()
        with torch.no_grad():
            self._maps = self._look(shown.pictures)
            self._descriptors = self._recogniser.recognise(shown.pictures, shown.points)
        self._points = shown.points

    def _look(self, pictures: Tensor) -> list[Tensor]:
        return self._efficientnet.maps(pictures, 4)

    def look(self, fake: Tensor, chosen: Tensor) -> Tensor:
        """How far the drawings' maps lie from the true ones, each map by its own size."""
        true = [m[chosen] for m in self._maps]
        parts = [F.l1_loss(a, b) / b.abs().mean() for a, b in zip(self._look(fake), true, strict=True)]
        return torch.stack(parts).sum()

    def identity(self, fake: Tensor, chosen: Tensor) -> Tensor:
        """Mean distance of descriptors."""
        seen = self._recogniser.recognise(fake, self._points[chosen])
        return (seen - self._descriptors[chosen]).norm(dim=1).mean()

    def openings(self, pictures: Tensor) -> Tensor:
        """[N] how far the mouths of drawings are open."""
        mode = "area" if pictures.shape[-1] > CROP_PX else "bilinear"
        return mouth_openings(self._landmarks(F.interpolate(pictures, size=(CROP_PX, CROP_PX), mode=mode)).points)


def tunable(generator: Generator, config: TuningConfig) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Noise maps and weights of a generator that tuning changes; everything else is frozen."""
    generator.requires_grad_(False)
    noise: list[nn.Parameter] = []
    weights: list[nn.Parameter] = []
    for module in generator.synthesis.modules():
        if isinstance(module, SynthesisLayer):
            weights += [*module.conv.affine.parameters(), module.bias]
            if module.noise.shape[-1] <= config.noise_px:
                if not isinstance(module.noise, nn.Parameter):
                    module.learn_noise()
                noise.append(module.noise)  # type: ignore[arg-type]
        if isinstance(module, ToRgb):
            weights += list(module.parameters())
    for parameter in [*noise, *weights]:
        parameter.requires_grad_(True)
    return noise, weights


def tune(
    networks: FaceNetworks,
    shown: Shown,
    start: FaceIdentity,
    neighbours: Neighbours,
    config: TuningConfig,
    *,
    dtype: torch.dtype = torch.float32,
    on_step: Callable[[TuningProgress], None] = lambda progress: None,
) -> TunedFace:
    """Tune a copy of the generator to the person shown; `networks` stay as they are.

    Args:
        start: E_image's guess.
        dtype: of feature maps: bfloat16 where the processor multiplies it.
        on_step: called after each step; may raise to break off.

    Raises:
        ValueError: nothing is shown, or shapes do not fit the model.
    """
    sizes = networks.config
    n = len(shown.pictures)
    if n < 1 or shown.points.shape != (n, 68, 2) or shown.moving.shape != (n, sizes.latent_dim):
        raise ValueError(
            f"tuning needs pictures with [N, 68, 2] points and [N, {sizes.latent_dim}] latents, got "
            f"{list(shown.pictures.shape)}, {list(shown.points.shape)}, {list(shown.moving.shape)}"
        )
    generator = copy.deepcopy(networks.generator)
    noise, weights = tunable(generator, config)
    guess = torch.from_numpy(base_latents(networks.config, start)[0])  # [L, D]
    offsets = nn.Parameter(guess.clone())
    optimizer = torch.optim.Adam(
        [
            {"params": [offsets], "lr": config.rate_offsets},
            {"params": noise, "lr": config.rate_noise},
            {"params": weights, "lr": config.rate_weights},
        ],
        betas=(0.5, 0.99),
    )
    judges = _Judges(shown)
    kept = _Kept(networks, judges, guess, neighbours, dtype)
    rng = np.random.default_rng(config.seed)
    began, step = time.monotonic(), 0
    while step < config.max_steps and (elapsed := time.monotonic() - began) < config.seconds:
        # Every third step shows the picture that was given; the others any view of it.
        chosen = torch.tensor([0 if step % 3 == 0 else int(rng.integers(n))])
        fake = generator.synthesis(offsets[None] + shown.moving[chosen, None], dtype=dtype)
        terms = {
            "pixels": pixel_pyramid(fake, shown.pictures[chosen]),
            "look": config.look * judges.look(fake, chosen),
            "identity": config.identity * judges.identity(fake, chosen),
            "pivot": config.pivot * (offsets - guess).square().mean(),
        }
        # One further drawing a step: in turns other people, and this person at another sound.
        if step % 2 == 0 and len(neighbours.others):
            terms["locality"] = config.locality * kept.other_drift(generator, int(rng.integers(len(neighbours.others))))
        elif len(neighbours.sounds):
            sound = int(rng.integers(len(neighbours.sounds)))
            terms["lips"] = config.lips * kept.lip_drift(generator, offsets, shown.moving[:1], sound)
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
        step += 1
        on_step(TuningProgress(step, elapsed, {name: float(value.detach()) for name, value in terms.items()}))
    z = start.z.astype(np.float32)
    own = FaceIdentity(z, (offsets.detach().numpy() - z).astype(np.float32))
    return TunedFace(generator.requires_grad_(False).eval(), own, step, time.monotonic() - began)


class _Kept:
    """What the untuned generator draws of the neighbours, drawn once."""

    def __init__(
        self, networks: FaceNetworks, judges: _Judges, guess: Tensor, neighbours: Neighbours, dtype: torch.dtype
    ) -> None:
        self._judges, self._neighbours, self._dtype = judges, neighbours, dtype
        draw = networks.generator.synthesis
        with torch.no_grad():
            self._others = [draw(ws[None], dtype=dtype) for ws in neighbours.others]
            self._openings = [judges.openings(draw((guess + e)[None], dtype=dtype)) for e in neighbours.sounds]

    def other_drift(self, generator: Generator, index: int) -> Tensor:
        """L1 between what the tuned and the untuned generator draw of another person."""
        ws = self._neighbours.others[index : index + 1]
        return F.l1_loss(generator.synthesis(ws, dtype=self._dtype), self._others[index])

    def lip_drift(self, generator: Generator, offsets: Tensor, moving: Tensor, index: int) -> Tensor:
        """How differently the mouth opens at a sound: tuned face against the untuned one."""
        e = self._neighbours.sounds[index]
        drawn = generator.synthesis((offsets + e)[None], dtype=self._dtype)
        return (self._judges.openings(drawn) - self._openings[index]).abs().mean()
