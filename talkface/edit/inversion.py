"""E_image by optimisation: the latent whose picture resembles a portrait (paper III.D, eq. 3).

Starts from the mean latent (or from a given one), compares feature maps of the drawn and the given picture, and moves
the latent; 1000 steps by default. As in the official StyleGAN2 projector, noise on the latent that fades out keeps the
search from settling early. The search stays in W, one vector for all layers, unless static per-layer offsets are
asked for, which start at zero and are held small. The best latent seen is kept, not the last.

Shapes: D latent dimension, L layers, R resolution.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from talkface_core.face.generator import Generator
from talkface_core.interfaces import FaceIdentity
from training.loss.perceptual import FeatureNetwork, feature_distance

Progress = Callable[[int, int, float], None]
"""Called with step, steps and the best distance so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InversionConfig:
    """How a portrait is inverted.

    Raises:
        ValueError: a field out of range; the message names it.
    """

    steps: int = 1000
    """Of Adam; the paper's number."""
    lr: float = 0.1
    """Rate at its highest, on latents measured in the spread of w."""
    pixel_weight: float | None = None
    """Weight of the L1 distance of pixels; None: 0 for a feature network that sees everything (the paper), else 1."""
    initial_noise: float = 0.05
    """Of the noise on the latent at the start, in spreads of w; it is gone after three quarters of the steps."""
    layer_offsets: bool = False
    """Also search static offsets per layer, which leave e and d acting on every layer."""
    offset_penalty: float = 0.1
    """On the mean square of the offsets, in spreads of w."""
    seed: int = 0
    """Of the noise."""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps must be 1 or more, not {self.steps}")
        for name in ("lr", "initial_noise", "offset_penalty"):
            value = getattr(self, name)
            if not math.isfinite(value) or value < 0:
                raise ValueError(f"{name} must be 0 or more, not {value}")
        if self.pixel_weight is not None and not 0 <= self.pixel_weight < math.inf:
            raise ValueError(f"pixel_weight must be 0 or more, not {self.pixel_weight}")


@dataclass(frozen=True, slots=True)
class Inversion:
    """A portrait as a latent."""

    identity: FaceIdentity
    picture: NDArray[np.uint8]
    """[R, R, 3] what the generator draws for it."""
    distance: float
    """Of the best step; lower is better. Comparable only for one feature network."""
    best_step: int
    psnr_db: float
    """Of the drawn picture against the portrait."""


def invert(
    generator: Generator,
    portrait: Tensor,
    features: FeatureNetwork,
    config: InversionConfig | None = None,
    *,
    start: Tensor | None = None,
    moving: Tensor | None = None,
    progress: Progress | None = None,
) -> Inversion:
    """Find the latent of a portrait.

    Args:
        generator: in eval mode; its device and gradients are left as they are.
        portrait: [3, R, R] float32 RGB in [-1, 1], aligned as the generator's training pictures were.
        start: [D] where the search begins; the mean latent when None.
        moving: [D] what is added to z when the picture is drawn, such as e of silence; zero when None.

    Raises:
        ValueError: the portrait has another shape, or the distance became NaN (a damaged generator or picture).
    """
    config = config or InversionConfig()
    size = generator.config.resolution_px
    if tuple(portrait.shape) != (3, size, size):
        raise ValueError(f"portrait must be [3, {size}, {size}], not {list(portrait.shape)}")
    device = generator.mapping.mean_latent.device
    likeness = _Likeness(portrait.to(device)[None], features, config.pixel_weight)
    search = _Search(generator, likeness, config, start, moving)
    for step in range(config.steps):
        search.step(step)
        if progress is not None:
            progress(step + 1, config.steps, search.best.distance)
    return search.result()


class _Likeness:
    """How far a drawn picture is from the portrait."""

    def __init__(self, target: Tensor, features: FeatureNetwork, pixel_weight: float | None) -> None:
        self.target, self.features = target, features
        self.pixel_weight = (0.0 if features.sees_everything else 1.0) if pixel_weight is None else pixel_weight
        with torch.no_grad():
            self.target_maps = features(target)

    def distance(self, picture: Tensor) -> Tensor:
        """Scalar; lower is better."""
        distance = feature_distance(self.features(picture), self.target_maps).mean()
        if self.pixel_weight:
            distance = distance + self.pixel_weight * F.l1_loss(picture, self.target)
        return distance

    def psnr_db(self, picture: Tensor) -> float:
        """Of a picture in [-1, 1]."""
        error = float(((picture - self.target.clamp(-1, 1)) / 2).square().mean())
        return -10 * math.log10(max(error, 1e-12))


@dataclass(slots=True)
class _Best:
    """The nearest latents so far."""

    z: Tensor
    offsets: Tensor
    distance: float = math.inf
    step: int = 0

    def offer(self, distance: float, step: int, z: Tensor, offsets: Tensor) -> None:
        """Keep these if they are nearer."""
        if distance < self.distance:
            self.distance, self.step = distance, step
            self.z, self.offsets = z.detach().clone(), offsets.detach().clone()


class _Search:
    """State of one optimisation; latents are searched in units of the spread of w, so that one rate fits all."""

    def __init__(
        self,
        generator: Generator,
        likeness: _Likeness,
        config: InversionConfig,
        start: Tensor | None,
        moving: Tensor | None,
    ) -> None:
        self.generator, self.likeness, self.config = generator, likeness, config
        mean = generator.mapping.mean_latent
        self.start = mean.clone() if start is None else start.detach().to(mean)
        self.moving = torch.zeros_like(mean) if moving is None else moving.detach().to(mean)
        self.spread = latent_spread(generator)
        self.shift = torch.zeros_like(mean).requires_grad_()
        shape = (generator.config.num_layers, generator.config.latent_dim)
        self.offsets = torch.zeros(shape, device=mean.device, requires_grad=config.layer_offsets)
        self.searched = [self.shift, self.offsets] if config.layer_offsets else [self.shift]
        self.optimiser = torch.optim.Adam(self.searched, lr=config.lr, betas=(0.9, 0.999))
        self.noise = torch.Generator().manual_seed(config.seed)
        self.best = _Best(self.start, torch.zeros_like(self.offsets))

    def latents(self) -> tuple[Tensor, Tensor]:
        """z [D] and offsets [L, D] in the generator's units."""
        return self.start + self.spread * self.shift, self.spread * self.offsets

    def draw(self, z: Tensor, offsets: Tensor) -> Tensor:
        return self.generator.render((z + self.moving)[None], layer_offsets=offsets)

    def step(self, step: int) -> None:
        progress = step / self.config.steps
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.lr * learning_rate_ramp(progress)
        z, offsets = self.latents()
        noise = self.config.initial_noise * max(0.0, 1.0 - progress / 0.75) ** 2
        random = torch.randn(z.shape, generator=self.noise).to(z)
        picture = self.draw(z + noise * self.spread * random, offsets)
        distance = self.likeness.distance(picture)
        loss = distance + self.config.offset_penalty * self.offsets.square().mean()
        if not torch.isfinite(loss):
            problem = f"distance {float(loss.detach())} at step {step}"
            raise ValueError(f"inversion: {problem}; lower lr or check generator and input")
        self.best.offer(float(distance.detach()), step, z, offsets)
        # Not backward(): the generator's own gradients are none of our business.
        for tensor, gradient in zip(self.searched, torch.autograd.grad(loss, self.searched), strict=True):
            tensor.grad = gradient
        self.optimiser.step()

    @torch.no_grad()
    def result(self) -> Inversion:
        # What the last step led to has not been drawn yet.
        z, offsets = self.latents()
        distance = float(self.likeness.distance(self.draw(z, offsets)))
        self.best.offer(distance, self.config.steps, z, offsets)
        best = self.best
        picture = self.draw(best.z, best.offsets).clamp(-1, 1)
        kept = best.offsets.cpu().numpy() if self.config.layer_offsets else None
        return Inversion(
            identity=FaceIdentity(best.z.cpu().numpy(), kept),
            picture=((picture[0] + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy(),
            distance=best.distance,
            best_step=best.step,
            psnr_db=self.likeness.psnr_db(picture),
        )


def learning_rate_ramp(progress: float) -> float:
    """Rises over the first 5 %, falls as a half cosine over the last 25 % (official projector)."""
    fall = min(1.0, (1.0 - progress) / 0.25)
    return (0.5 - 0.5 * math.cos(fall * math.pi)) * min(1.0, max(progress, 1e-3) / 0.05)


@torch.no_grad()
def latent_spread(generator: Generator, *, samples: int = 1024) -> Tensor:
    """Root mean square distance of w from its mean per value, over random z: scalar tensor."""
    mean = generator.mapping.mean_latent
    z = torch.randn(samples, len(mean), generator=torch.Generator().manual_seed(0)).to(mean)
    w = generator.mapping(z)
    return (w - w.mean(0)).square().mean().sqrt().clamp_min(1e-3)
