"""E_style: frames -> style values -> talking style d (paper III.E, eq. 4).

CNN per frame, LSTM over frames, 16 values that cross the wire, MLP to the latent space. Two layers: `base` sees the
face with the mouth masked, so that lips must come from the sound; `lips` sees only the mouth and refines it. Either
can be missing: zero values give exactly d = 0.

    face, mouth masked ── CNN ─ LSTM ─ 12 values ──┐            ┌── MLP ── d_base
                                                   ├ quantiser ─┤                  d = d_base + d_lips
    mouth crop ────────── CNN ─ LSTM ─  4 values ──┘            └── MLP ── d_lips

Shapes: B batch, T frames, D latent dimension.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from talkface_core.interfaces import BASE_STYLE_VALUES, STYLE_VALUES

FACE_PX = 128
"""Side of the masked face picture that the base layer sees."""
MOUTH_PX = 64
"""Side of the mouth crop that the lips layer sees."""
_WIDTH = 128

LstmState = tuple[Tensor, Tensor]
"""Hidden and cell state of one LSTM, each [1, B, 128]."""


class StyleState(NamedTuple):
    """Everything the encoder remembers between frames."""

    base: LstmState
    lips: LstmState


def _down(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1),
        nn.GroupNorm(8, out_channels),
        nn.LeakyReLU(0.1),
    )


class FrameEncoder(nn.Module):
    """One layer's CNN and LSTM: pictures [B, T, 3, P, P] in [-1, 1] -> values [B, T, V']."""

    def __init__(self, picture_px: int, num_values: int, width: int = 16) -> None:
        super().__init__()
        channels = [3, width, 2 * width, 4 * width, 4 * width, 8 * width]
        stages = [_down(a, b) for a, b in pairwise(channels)]
        side = picture_px // 2 ** len(stages)
        self.cnn = nn.Sequential(*stages, nn.Flatten(), nn.Linear(channels[-1] * side**2, _WIDTH), nn.LeakyReLU(0.1))
        self.lstm = nn.LSTM(_WIDTH, _WIDTH, batch_first=True)
        self.values = nn.Linear(_WIDTH, num_values)

    def forward(self, pictures: Tensor, state: LstmState | None) -> tuple[Tensor, LstmState]:
        batch, frames = pictures.shape[:2]
        features = self.cnn(pictures.flatten(0, 1)).float().unflatten(0, (batch, frames))  # [B, T, 128]
        motion, state = self.lstm(features, state)
        # The LSTM adds what the transition tells to what the frame itself shows.
        return self.values(features + motion), state


class StyleEncoder(nn.Module):
    """Masked faces and mouth crops -> style values; causal, with explicit state."""

    def __init__(self) -> None:
        super().__init__()
        self.base = FrameEncoder(FACE_PX, BASE_STYLE_VALUES)
        self.lips = FrameEncoder(MOUTH_PX, STYLE_VALUES - BASE_STYLE_VALUES, width=8)

    def forward(self, faces: Tensor, mouths: Tensor, state: StyleState | None = None) -> tuple[Tensor, StyleState]:
        """Encode consecutive frames.

        Args:
            faces: [B, T, 3, 128, 128] float32 RGB in [-1, 1], the mouth covered where the model was trained so.
            mouths: [B, T, 3, 64, 64] float32 RGB in [-1, 1].
            state: what the previous call returned, or None at a start.

        Returns:
            values [B, T, 16] before quantisation, and the new state.
        """
        base, base_state = self.base(faces, state.base if state else None)
        lips, lips_state = self.lips(mouths, state.lips if state else None)
        return torch.cat([base, lips], dim=-1), StyleState(base_state, lips_state)


class StyleDecoder(nn.Module):
    """Decoded style values -> d; zero values of a layer give exactly zero from it.

    Shapes: [B, 16] -> [B, D].
    """

    def __init__(self, latent_dim: int = 512) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        lips = STYLE_VALUES - BASE_STYLE_VALUES
        self.base = nn.Sequential(nn.Linear(BASE_STYLE_VALUES, 256), nn.LeakyReLU(0.1), nn.Linear(256, latent_dim))
        self.lips = nn.Sequential(nn.Linear(lips, 128), nn.LeakyReLU(0.1), nn.Linear(128, latent_dim))

    def forward(self, values: Tensor) -> Tensor:
        d = values.new_zeros(values.shape[0], self.latent_dim)
        for mlp, part in ((self.base, values[:, :BASE_STYLE_VALUES]), (self.lips, values[:, BASE_STYLE_VALUES:])):
            d = d + mlp(part) - mlp(torch.zeros_like(part[:1]))
        return d
