"""A whole clip through the networks of a run, as a call would: style from the first frame on, rounded; frame by frame.

Shapes: T frames, R resolution.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from talkface_core.interfaces import BASE_STYLE_VALUES
from talkface_core.style.encoder import FACE_PX
from talkface_core.style.input import crop_mouth, hide_mouth
from training.data.clip_format import Clip
from training.data.sampler import audio_window
from training.networks import TrainNetworks, to_pictures


class Source(StrEnum):
    """What drives the face besides identity."""

    LIVE = "live"
    """Sound and both style layers of the clip itself (self-reenactment)."""
    BASE = "base"
    """Sound and the base style layer."""
    AUDIO = "audio"
    """Sound alone, d = 0."""
    STYLE = "style"
    """Style alone, e = 0: a probe."""


def style_values(networks: TrainNetworks, clip: Clip) -> Tensor:
    """Rounded style values of a clip, [T, V]."""
    steps = networks.quantiser.steps
    rounded: Tensor = (raw_style_values(networks, clip) / steps).round() * steps
    return rounded


@torch.inference_mode()
def raw_style_values(networks: TrainNetworks, clip: Clip) -> Tensor:
    """Style values of a clip before quantisation, [T, V], in the networks' own unit."""
    device = next(networks.parameters()).device
    crops = to_pictures(torch.from_numpy(np.ascontiguousarray(clip.frames)).permute(0, 3, 1, 2).to(device))
    points = torch.from_numpy(clip.points).to(device)
    faces = F.interpolate(crops, size=(FACE_PX, FACE_PX), mode="area")
    if networks.config.style.mask_mouth:
        faces = hide_mouth(faces, points * (FACE_PX / crops.shape[-1]))
    values, _ = networks.faces.style_encoder(faces[None], crop_mouth(crops, points)[None])
    if networks.config.style.center:
        values = values - values.mean(dim=1, keepdim=True)
    raw: Tensor = values[0]
    return raw


@torch.inference_mode()
def reconstruct_clip(
    networks: TrainNetworks,
    clip: Clip,
    person: int,
    source: Source,
    *,
    frames: range | None = None,
    samples: NDArray[np.int16] | None = None,
    chunk: int = 8,
) -> NDArray[np.uint8]:
    """Draw a clip.

    Args:
        networks: usually a run's averaged ones.
        person: row of the identity table; ignored with an identity encoder, which sees the clip's first frame.
        source: what drives the face.
        frames: which frames to draw; None for all.
        samples: other sound than the clip's own, int16 at 16 kHz.
        chunk: frames drawn at a time.

    Returns:
        [len(frames), R, R, 3] uint8.
    """
    device = next(networks.parameters()).device
    chosen = list(frames if frames is not None else range(len(clip.frames)))
    sound = clip.samples if samples is None else samples
    first = to_pictures(torch.from_numpy(clip.frames[:1].copy()).permute(0, 3, 1, 2).to(device))
    z, offsets = networks.identities(torch.tensor([person], device=device), first)
    values = torch.zeros(len(clip.frames), networks.quantiser.steps.shape[0], device=device)
    if source is not Source.AUDIO and networks.config.style.enabled:
        values = style_values(networks, clip).clone()
        if source is Source.BASE:
            values[:, BASE_STYLE_VALUES:] = 0
    parts = []
    for start in range(0, len(chosen), chunk):
        numbers = chosen[start : start + chunk]
        m = z + networks.faces.style_decoder(values[numbers])
        if source is not Source.STYLE:
            windows = np.stack([audio_window(sound, t) for t in numbers]).astype(np.float32) / 32768
            m = m + networks.faces.audio_encoder(torch.from_numpy(windows).to(device))
        drawn = networks.faces.generator.render(m, layer_offsets=offsets)
        parts.append(((drawn + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy())
    return np.concatenate(parts)
