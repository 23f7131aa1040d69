"""What a run trains: the face networks, where identities come from, the discriminators, the contrastive heads.

    frames ─── the style path ─ values ─ noise, or the quantiser ─ decoder ── d ┐
    sound window ───── E_audio ─────────────────────────────────────────── e ├ m = e + z + d ── G ── frames
    person / reference frame ── table / E_image ────────────────────────── z ┘

Shapes: B clips, T drawn frames, W = context + T, D latent dimension, L generator layers, P persons.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from talkface_core.face.generator import GeneratorConfig, Window
from talkface_core.face.image_encoder import ImageEncoder
from talkface_core.face.networks import FaceNetworks
from talkface_core.interfaces import BASE_STYLE_VALUES, STYLE_VALUES
from talkface_core.judges.efficientnet import EfficientNetLite0, load_efficientnet
from talkface_core.style.encoder import MOUTH_PX
from talkface_core.style.path import StyleSettings, encode_style
from talkface_core.style.quantiser import StyleQuantiser
from training.config import ModelConfig, TrainConfig
from training.critics.interface import Critic
from training.critics.projected import ProjectedDiscriminator
from training.critics.stylegan2 import Discriminator, DiscriminatorConfig
from training.data.sampler import Batch

CONTRASTIVE_DIM = 128
LIP_FEATURES = 128
"""Length of a lip expert's embedding."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Result of one forward pass."""

    frames: Tensor
    """[B, T, 3, r, r] generated, nominally in [-1, 1]"""
    audio_embedding: Tensor
    """[B, T, D] e, before dropout"""
    style_values: Tensor
    """[B, W, V] before the layers are dropped, quantiser noise included"""


class Identities(nn.Module):
    """z and static per-layer offsets of each person, learned in a table or given by the encoder all share."""

    def __init__(self, config: ModelConfig, num_persons: int, num_layers: int) -> None:
        super().__init__()
        is_table, given = config.identity == "table", num_layers if config.layer_offsets else 0
        self.encoder = None if is_table else ImageEncoder(config.latent_dim, num_layers=given)
        self.table = nn.Parameter(torch.zeros(num_persons, config.latent_dim)) if is_table else None
        shape = (num_persons, num_layers, config.latent_dim)
        self.offsets = nn.Parameter(torch.zeros(shape)) if is_table and config.layer_offsets else None

    def forward(self, person: Tensor, reference: Tensor) -> tuple[Tensor, Tensor | None]:
        """person [B], reference [B, 3, R, R] in [-1, 1] -> z [B, D], offsets [B, L, D] or None."""
        if self.encoder is not None:
            encoded = self.encoder(reference)
            return encoded.z, encoded.layer_offsets
        assert self.table is not None
        return self.table[person], None if self.offsets is None else self.offsets[person]


class TrainNetworks(nn.Module):
    """Everything with gradients."""

    def __init__(self, config: TrainConfig, num_persons: int) -> None:
        super().__init__()
        model = config.model
        generator = GeneratorConfig(
            resolution_px=model.resolution_px,
            latent_dim=model.latent_dim,
            channel_base=model.channel_base,
            channel_max=model.channel_max,
        )
        self.config = config
        settings = StyleSettings(mask_mouth=config.style.mask_mouth, center=config.style.center)
        self.faces = FaceNetworks(generator, settings)
        if model.learned_noise:
            self.faces.generator.synthesis.learn_noise()
        # Small e and d at the start: m begins near z and motion grows out of it.
        for last in (self.faces.audio_encoder.project[-1], self.faces.style_decoder.base[-1]):
            assert isinstance(last, nn.Linear)
            nn.init.normal_(last.weight, std=0.25 / last.in_features**0.5)
        self.identities = Identities(model, num_persons, generator.num_layers)
        self.quantiser = StyleQuantiser((config.style.step_64ths,) * STYLE_VALUES)
        side = config.train.window_px or model.resolution_px
        has_critic = config.loss.adversarial > 0 or config.loss.mouth_adversarial > 0
        eye = load_efficientnet() if has_critic and model.discriminator == "projected" else None
        self.discriminator = self._critic(side, eye) if config.loss.adversarial > 0 else None
        self.mouth_discriminator = self._critic(MOUTH_PX, eye) if config.loss.mouth_adversarial > 0 else None
        self.audio_head = nn.Linear(model.latent_dim, CONTRASTIVE_DIM) if config.loss.contrastive > 0 else None
        self.visual_head = nn.Linear(LIP_FEATURES, CONTRASTIVE_DIM) if config.loss.contrastive > 0 else None

    def _critic(self, resolution_px: int, eye: EfficientNetLite0 | None) -> Critic:
        """StyleGAN2's for pictures of this side, or heads for what `eye` sees in any picture."""
        if eye is not None:
            return ProjectedDiscriminator(eye)
        model = self.config.model
        return Discriminator(
            DiscriminatorConfig(
                resolution_px=resolution_px,
                channel_base=model.discriminator_base,
                channel_max=model.discriminator_max,
                minibatch_group=model.minibatch_group,
            )
        )

    def generator_parameters(self) -> list[nn.Parameter]:
        """G and the identities' own vectors: equalised weights and latents, the larger learning rate."""
        return [*self.filter_parameters(), *self.style_layer_parameters()]

    def filter_parameters(self) -> list[nn.Parameter]:
        """G without its style layers: what draws; and E_image's feed-forward network, equalised like them."""
        encoder = [] if self.identities.encoder is None else list(self.identities.encoder.parameters())
        return [*(p for name, p in self.faces.generator.named_parameters() if ".affine." not in name), *encoder]

    def style_layer_parameters(self) -> list[nn.Parameter]:
        """What turns m into the scale of each channel, and the identities' own part of m."""
        affine = [p for name, p in self.faces.generator.named_parameters() if ".affine." in name]
        own = [p for p in (self.identities.table, self.identities.offsets) if p is not None]
        return [*affine, *own]

    def encoder_parameters(self) -> list[nn.Parameter]:
        """E_audio, E_style and its decoder, contrastive heads."""
        return [*self.audio_parameters(), *self.style_parameters()]

    def audio_parameters(self) -> list[nn.Parameter]:
        """E_audio."""
        return list(self.faces.audio_encoder.parameters())

    def style_parameters(self) -> list[nn.Parameter]:
        """E_style and its decoder, contrastive heads."""
        heads = [m for m in (self.audio_head, self.visual_head) if m is not None]
        return [p for m in (self.faces.style_encoder, self.faces.style_decoder, *heads) for p in m.parameters()]

    def critic_parameters(self) -> list[nn.Parameter]:
        """Both discriminators."""
        critics = [c for c in (self.discriminator, self.mouth_discriminator) if c is not None]
        return [p for c in critics for p in c.parameters()]

    def draw(
        self,
        batch: Batch,
        *,
        straight_through: bool,
        dtype: torch.dtype,
        resolution_px: int,
        window: Window | None = None,
    ) -> Drawn:
        """Forward pass: m = e + z + d (eq. 5), V = G(m) (eq. 6).

        Args:
            straight_through: round style instead of adding noise.
            dtype: of the convolutions' feature maps.
            resolution_px: draw no larger than this.
            window: draw only this part.
        """
        b, t = batch.windows.shape[:2]
        with torch.autocast(batch.frames.device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
            e = self.encode_audio(batch.windows)
            values = self._style_values(batch, straight_through)
        d = self._decode_style(values[:, -t:], batch)
        z, offsets = self.identities(batch.person, to_pictures(batch.reference))
        m = e.flatten(0, 1) * batch.keep_audio.repeat_interleave(t)[:, None] + z.repeat_interleave(t, 0) + d
        frames = self.faces.generator.render(
            m,
            layer_offsets=None if offsets is None else offsets.repeat_interleave(t, 0),
            dtype=dtype,
            max_resolution_px=resolution_px,
            window=window,
        )
        return Drawn(frames.unflatten(0, (b, t)), e, values)

    def encode_audio(self, windows: Tensor) -> Tensor:
        """[B, T, S] to e [B, T, D] float32; the spectrum itself is never in bfloat16."""
        encoder = self.faces.audio_encoder
        with torch.autocast(windows.device.type, enabled=False):
            mel = encoder.mel(windows.flatten(0, 1))
        return encoder.encode_mel(mel).float().unflatten(0, windows.shape[:2])

    def encode_style(self, batch: Batch) -> Tensor:
        """Values of all W frames before quantisation, [B, W, V]."""
        values, _ = encode_style(
            self.faces.style_encoder,
            self.faces.style_settings,
            to_pictures(batch.frames),
            batch.points,
            cover_growth=batch.cover_scale,
        )
        return values

    def _style_values(self, batch: Batch, straight_through: bool) -> Tensor:
        """Values of all W frames with the quantiser's noise or rounding, [B, W, V]."""
        if not self.config.style.enabled:
            return batch.style_noise * 0
        values = self.encode_style(batch)
        return self.quantiser.round(values) if straight_through else self.quantiser.add_noise(values, batch.style_noise)

    def _decode_style(self, values: Tensor, batch: Batch) -> Tensor:
        """[B, T, V] to d [B * T, D], with the layers dropped that the batch says."""
        keep = torch.stack([batch.keep_style, batch.keep_style * batch.keep_lips], dim=1)  # [B, 2]
        lips = values.shape[-1] - BASE_STYLE_VALUES
        keep = keep.repeat_interleave(torch.tensor([BASE_STYLE_VALUES, lips], device=keep.device), dim=1)
        d: Tensor = self.faces.style_decoder((values * keep[:, None]).flatten(0, 1))
        return d


def to_pictures(pixels: Tensor) -> Tensor:
    """[..., 3, R, R] uint8 to float32 in [-1, 1]."""
    return pixels.float() / 127.5 - 1
