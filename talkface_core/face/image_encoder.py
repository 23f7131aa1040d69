"""E_image as one pass: the identity of a face it has never seen, from one picture.

The paper finds z by optimisation alone (III.D). This network, trained with the generator on many people, gives a start
in milliseconds; pivotal tuning and `talkface.edit.inversion` go on from there. It has two parts: a small network of its
own that gives z, and, where the identities carry per-layer offsets, a head on features of trained networks (what
things look like: EfficientNet-Lite0; who it is: the face recogniser) that corrects z and gives the offsets. Offsets of
zero are the paper.

    picture ─┬─ own convolutions ────────────────────────── z ─┐
             └─ EfficientNet maps, descriptor ── head ─┬─ + z ─┴─> z [B, D]
                              (frozen)                 └──────────> offsets [B, L, D]

Shapes: B batch, D latent dimension, L generator layers, R side of the picture.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from talkface_core.face.layers import EqualizedConv2d, EqualizedLinear
from talkface_core.judges.efficientnet import STAGES, EfficientNetLite0, load_efficientnet
from talkface_core.judges.face_chip import CHIP_PX
from talkface_core.judges.face_recognition import DESCRIPTOR_DIM, FaceRecogniser, load_face_recogniser
from talkface_core.style.encoder import FACE_PX

LOOK_PX = 224
"""Side at which EfficientNet was trained."""
CHIP_SHARE, CHIP_CENTRE_Y = 0.68, 0.62
"""Side and height of the recogniser's cut in a picture that was cut by `face_crop`: no landmarks are needed."""
_FINE, _COARSE = 4, 6
"""Stages whose maps the head sees: 14 x 14 and 7 x 7 cells."""
_MIX_CHANNELS = 64
_HIDDEN = 384


class EncodedIdentity(NamedTuple):
    """What a picture says of a person."""

    z: Tensor
    """[B, D]"""
    layer_offsets: Tensor | None
    """[B, L, D], or None where identities are z alone."""


class TrainedLook(NamedTuple):
    """What the frozen networks see, each of unit mean square."""

    fine: Tensor
    """[B, 112, 14, 14]"""
    coarse: Tensor
    """[B, 320, 7, 7]"""
    descriptor: Tensor
    """[B, 128]"""


class TrainedEyes:
    """Frozen networks under E_image. They are no part of its weights: they ship by themselves.

    Raises:
        talkface_core.errors.WeightsError: their files are missing or damaged.
    """

    def __init__(self) -> None:
        self._efficientnet: EfficientNetLite0 = load_efficientnet()
        self._recogniser: FaceRecogniser = load_face_recogniser()

    @torch.no_grad()
    def look(self, pictures: Tensor) -> TrainedLook:
        """[B, 3, R, R] in [-1, 1], cut by `face_crop`."""
        for network in (self._efficientnet, self._recogniser):
            if next(network.parameters()).device != pictures.device:
                network.to(pictures.device)
        mode = "area" if pictures.shape[-1] > LOOK_PX else "bilinear"
        maps = self._efficientnet.maps(F.interpolate(pictures, size=(LOOK_PX, LOOK_PX), mode=mode))
        return TrainedLook(*map(_unit_power, (maps[_FINE], maps[_COARSE], self._recogniser(_middle_chips(pictures)))))


def _middle_chips(pictures: Tensor) -> Tensor:
    """[B, 3, 150, 150]: the part of a face crop in which the recogniser expects the face."""
    theta = pictures.new_tensor([[CHIP_SHARE, 0, 0], [0, CHIP_SHARE, 2 * CHIP_CENTRE_Y - 1]])
    size = (len(pictures), 3, CHIP_PX, CHIP_PX)
    grid = F.affine_grid(theta.expand(len(pictures), -1, -1), list(size), align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def _unit_power(x: Tensor) -> Tensor:
    """Each sample divided by its root mean square: networks differ in scale, pictures in contrast."""
    power = x.flatten(1).square().mean(dim=1)
    return x * torch.rsqrt(power + 1e-6).view(-1, *(1,) * (x.ndim - 1))


class IdentityHead(nn.Module):
    """Features of trained networks to a correction of z and per-layer offsets; both exactly zero at first."""

    def __init__(self, latent_dim: int, num_layers: int) -> None:
        super().__init__()
        self.fine = EqualizedConv2d(STAGES[_FINE].channels, _MIX_CHANNELS, 3, down=True)
        self.coarse = EqualizedConv2d(STAGES[_COARSE].channels, _MIX_CHANNELS, 1)
        self.mix = EqualizedConv2d(2 * _MIX_CHANNELS, _MIX_CHANNELS, 1)
        self.hidden = EqualizedLinear(_MIX_CHANNELS * 49 + DESCRIPTOR_DIM, _HIDDEN, activate=True)
        self.z = EqualizedLinear(_HIDDEN, latent_dim)
        self.offsets = EqualizedLinear(_HIDDEN, num_layers * latent_dim)
        for last in (self.z, self.offsets):
            nn.init.zeros_(last.weight)

    def forward(self, seen: TrainedLook) -> tuple[Tensor, Tensor]:
        """-> [B, D], [B, L * D]"""
        maps = self.mix(torch.cat([self.fine(seen.fine), self.coarse(seen.coarse)], dim=1)).flatten(1)
        hidden = self.hidden(torch.cat([maps, seen.descriptor], dim=1))
        return self.z(hidden), self.offsets(hidden)


class ImageEncoder(nn.Module):
    """A picture, aligned as the generator's training pictures were, to an identity.

    Args:
        latent_dim: D.
        num_layers: L for an encoder that gives offsets; 0 for z alone, by its own convolutions.
    """

    def __init__(self, latent_dim: int, *, num_layers: int = 0, channel_max: int = 128) -> None:
        super().__init__()
        widths = [min(16 * 2**i, channel_max) for i in range(6)]
        self.stem = EqualizedConv2d(3, widths[0], 1)
        self.blocks = nn.Sequential(*(EqualizedConv2d(a, b, 3, down=True) for a, b in pairwise(widths)))
        self.out = EqualizedLinear(widths[-1] * 16, latent_dim)
        self.num_layers = num_layers
        self.head = IdentityHead(latent_dim, num_layers) if num_layers else None
        self._eyes: TrainedEyes | None = None

    def forward(self, pictures: Tensor) -> EncodedIdentity:
        """[B, 3, R, R] in [-1, 1].

        Raises:
            talkface_core.errors.WeightsError: the head's trained networks are missing or damaged.
        """
        small = F.interpolate(pictures, size=(FACE_PX, FACE_PX), mode="area")
        z: Tensor = self.out(self.blocks(self.stem(small)).flatten(1))
        if self.head is None:
            return EncodedIdentity(z, None)
        # Read when they are first needed: a call that draws a known identity never needs them.
        self._eyes = self._eyes or TrainedEyes()
        more, offsets = self.head(self._eyes.look(pictures))
        return EncodedIdentity(z + more, offsets.unflatten(1, (self.num_layers, z.shape[1])))
