"""The style path: what every frame goes through on its way to style values, the same for every user (paper III.E).

    crop, points ─┬─ face at 128 px ─ mouth covered, or not ─┐
                  │                                          ├─ E_style ─ centred, or not ─ values
                  └─ mouth cut out at 64 px ─────────────────┘

Training, validation, evaluation, export and calls all come through `encode_style`; what may differ between models is
in `StyleSettings`, which are stored with the weights. A whole clip in one go and its frames one by one give the same
values: everything is causal, and `StylePathState` carries what is remembered.

Shapes: B clips, T frames, P side of the crop, V = 16 style values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from talkface_core.style.encoder import StyleEncoder, StyleState
from talkface_core.style.input import style_input


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleSettings:
    """How a model's E_style was trained to look; whoever runs it must do the same."""

    mask_mouth: bool = True
    """Cover the mouth in the base layer's picture, so that lips come from the sound."""
    center: bool = False
    """Subtract from each frame's values their mean over the frames seen so far, the frame itself included: what never
    changes, as the shape of a face, cannot hide in the style. The first frame is the origin, d = 0. The mean looks
    back only, so that a call, which knows no future, has the very values that training had."""


DEFAULT_STYLE_SETTINGS = StyleSettings()
"""Of weights that say nothing."""


class RunningMean(NamedTuple):
    """Values so far, for `StyleSettings.center`."""

    total: Tensor
    """[B, V] float64 sum, so that hours of frames add up exactly enough in whatever pieces they come"""
    num_frames: int
    """Frames in it."""


class StylePathState(NamedTuple):
    """Everything that the path remembers between frames."""

    encoder: StyleState
    mean: RunningMean | None
    """None where values are not centred."""


def encode_style(
    encoder: StyleEncoder,
    settings: StyleSettings,
    crops: Tensor,
    points: Tensor,
    state: StylePathState | None = None,
    *,
    cover_growth: float | Tensor = 1.0,
) -> tuple[Tensor, StylePathState]:
    """Consecutive frames to style values.

    Args:
        settings: of the weights that `encoder` belongs to.
        crops: [B, T, 3, P, P] float32 RGB in [-1, 1], cut with `face_crop`; P is the side that the model draws.
        points: [B, T, 68, 2] in pixels of the crop.
        state: what the call before returned, or None at a start.
        cover_growth: scales the cover of the mouth; training draws it at random. Scalar or [B].

    Returns:
        values [B, T, V] float32 before quantisation, in the encoder's own unit, and the new state.
    """
    batch, frames = crops.shape[:2]
    growth = cover_growth.repeat_interleave(frames) if isinstance(cover_growth, Tensor) else cover_growth
    faces, mouths = style_input(
        crops.flatten(0, 1), points.flatten(0, 1), mask_mouth=settings.mask_mouth, growth=growth
    )
    raw, remembered = encoder(
        faces.unflatten(0, (batch, frames)), mouths.unflatten(0, (batch, frames)), state.encoder if state else None
    )
    values = raw.float()
    if not settings.center:
        return values, StylePathState(remembered, None)
    values, mean = _centred(values, state.mean if state else None)
    return values, StylePathState(remembered, mean)


def _centred(values: Tensor, before: RunningMean | None) -> tuple[Tensor, RunningMean]:
    """[B, T, V] less the mean of all frames up to each, and that mean's new state."""
    batch, frames, num_values = values.shape
    if before is None:
        before = RunningMean(values.new_zeros(batch, num_values, dtype=torch.float64), 0)
    totals = before.total[:, None] + values.double().cumsum(dim=1)  # [B, T, V]
    counts = torch.arange(before.num_frames + 1, before.num_frames + frames + 1, device=values.device)
    centred = values - (totals / counts[:, None]).float()
    return centred, RunningMean(totals[:, -1], before.num_frames + frames)
