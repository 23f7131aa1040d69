"""The networks of one face model together, and the sizes that define them (paper fig. 1).

    sound ── E_audio ── e ─┐
    identity ────────── z ─┼─ m = e + z + d (eq. 5) ── G(m) (eq. 6) ── frame
    style values ── MLP ─ d┘

Shapes: B batch, D latent dimension, L generator layers, R resolution, V = 16 style values.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from talkface_core.face.generator import Generator, GeneratorConfig, SynthesisBlock, SynthesisNetwork
from talkface_core.face.layers import upsample2
from talkface_core.interfaces import STYLE_VALUES, FaceIdentity
from talkface_core.sound.audio_encoder import AudioEncoder
from talkface_core.style.encoder import StyleDecoder, StyleEncoder
from talkface_core.style.path import DEFAULT_STYLE_SETTINGS, StyleSettings


class FaceNetworks(nn.Module):
    """E_audio, E_style with its decoder, and G; what a weights file holds.

    Args:
        config: sizes.
        style_settings: how E_style looks at frames.
    """

    style_scale: Tensor

    def __init__(self, config: GeneratorConfig, style_settings: StyleSettings = DEFAULT_STYLE_SETTINGS) -> None:
        super().__init__()
        self.config = config
        self.style_settings = style_settings
        self.audio_encoder = AudioEncoder(config.latent_dim)
        self.style_encoder = StyleEncoder()
        self.style_decoder = StyleDecoder(config.latent_dim)
        self.generator = Generator(config)
        # What one sigma on the wire is in the networks' own units.
        self.register_buffer("style_scale", torch.ones(STYLE_VALUES))

    def latent(self, mel: Tensor, style: Tensor, z: Tensor) -> Tensor:
        """m = e + z + d (eq. 5).

        Args:
            mel: [B, 1, 80, M] log-mel pictures.
            style: [B, V] values in sigma units.
            z: [D] or [B, D].

        Returns:
            [B, D]

        Raises:
            ValueError: mel and style are of different lengths; the message holds both.
        """
        if mel.shape[0] != style.shape[0]:
            raise ValueError(f"{mel.shape[0]} windows of sound but {style.shape[0]} style vectors")
        e = self.audio_encoder.encode_mel(mel)
        d = self.style_decoder(style * self.style_scale)
        return e + z + d

    def forward(self, mel: Tensor, style: Tensor, z: Tensor, *, dtype: torch.dtype = torch.float32) -> Tensor:
        """Frames [B, 3, R, R], nominally in [-1, 1]; arguments as in `latent`."""
        return self.generator.render(self.latent(mel, style, z), dtype=dtype)


class DrawFrame(nn.Module):
    """What a runtime runs per frame: from mel picture and style to the finished 8-bit picture, one graph.

    Shapes: mel [1, 1, 80, M], style [1, V], base_ws [1, L, D] = z + layer offsets -> [1, R, R, 3] uint8.
    """

    def __init__(self, networks: FaceNetworks, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.networks = networks
        self.dtype = dtype
        self.drawn_px = drawn_resolution(networks.generator.synthesis)

    def forward(self, mel: Tensor, style: Tensor, base_ws: Tensor) -> Tensor:
        n = self.networks
        moving = n.audio_encoder.encode_mel(mel) + n.style_decoder(style * n.style_scale)  # e + d, [1, D]
        synthesis = n.generator.synthesis
        picture = synthesis(base_ws + moving.unsqueeze(1), dtype=self.dtype, max_resolution_px=self.drawn_px)
        while picture.shape[-1] < n.config.resolution_px:
            picture = upsample2(picture)
        return picture_to_uint8(picture)


def base_latents(config: GeneratorConfig, identity: FaceIdentity) -> NDArray[np.float32]:
    """z for every layer, plus the identity's own offsets: [1, L, D].

    Raises:
        ValueError: the identity was made for a model of another size.
    """
    if identity.z.shape != (config.latent_dim,):
        raise ValueError(f"identity z must be [{config.latent_dim}], not {list(identity.z.shape)}")
    shape = (config.num_layers, config.latent_dim)
    base = np.broadcast_to(identity.z, shape).astype(np.float32)
    if identity.layer_offsets is not None:
        if identity.layer_offsets.shape != shape:
            raise ValueError(f"identity layer offsets must be {list(shape)}, not {list(identity.layer_offsets.shape)}")
        base = base + identity.layer_offsets.astype(np.float32)
    return np.ascontiguousarray(base[None])


def drawn_resolution(synthesis: SynthesisNetwork) -> int:
    """The last resolution that adds to the picture.

    Progressive training leaves the blocks above it silent (their share of the picture is exactly zero). Leaving them
    out gives the same picture for less work.
    """
    drawn = synthesis.config.block_resolutions[0]
    for block, resolution in zip(synthesis.blocks, synthesis.config.block_resolutions, strict=True):
        assert isinstance(block, SynthesisBlock)
        if block.to_rgb.conv.weight.any() or block.to_rgb.bias.any():
            drawn = resolution
    return drawn


def picture_to_uint8(picture: Tensor) -> Tensor:
    """[B, 3, R, R] in [-1, 1] to [B, R, R, 3] uint8, rounded and clipped."""
    scaled = (picture.float() * 127.5 + 128.0).clamp(0.0, 255.0)
    return scaled.permute(0, 2, 3, 1).to(torch.uint8)


def seeded_networks(config: GeneratorConfig, seed: int) -> FaceNetworks:
    """Random networks that are the same for the same seed, in eval mode; the mean latent is measured."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        networks = FaceNetworks(config)
        with torch.no_grad():
            w = networks.generator.mapping(torch.randn(256, config.latent_dim))
            networks.generator.mapping.mean_latent.copy_(w.mean(0))
    return networks.eval().requires_grad_(False)
