"""A whole clip through the networks of a run, as a call would: style from the first frame on, rounded; frame by frame.

Shapes: T frames, R resolution.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from talkface_core.interfaces import BASE_STYLE_VALUES
from talkface_core.style.path import encode_style
from training.data.clip_format import Clip
from training.data.clip_store import resize_clip
from training.data.sampler import audio_window
from training.mode import Mode
from training.networks import TrainNetworks, to_pictures


@torch.inference_mode()
def raw_style_values(networks: TrainNetworks, clip: Clip) -> Tensor:
    """Style values of a clip before quantisation, [T, V], in the networks' own unit.

    Args:
        clip: of any side; what E_style sees is made from pictures of the side that the networks draw.
    """
    device = next(networks.parameters()).device
    clip = resize_clip(clip, networks.config.model.resolution_px)
    crops = to_pictures(torch.from_numpy(np.ascontiguousarray(clip.frames)).permute(0, 3, 1, 2).to(device))
    points = torch.from_numpy(clip.points).to(device)
    faces = networks.faces
    values, _ = encode_style(faces.style_encoder, faces.style_settings, crops[None], points[None])
    return values[0]


@torch.inference_mode()
def reconstruct_clip(
    networks: TrainNetworks,
    clip: Clip,
    person: int,
    mode: Mode,
    *,
    frames: range | None = None,
    samples: NDArray[np.int16] | None = None,
    chunk: int = 8,
) -> NDArray[np.uint8]:
    """Draw a clip.

    Args:
        networks: usually a run's averaged ones.
        person: row of the identity table; ignored with an identity encoder, which sees the clip's first frame.
        mode: what drives the face; the style is this clip's own, or none.
        frames: which frames to draw; None for all.
        samples: other sound than the clip's own, int16 at 16 kHz, for Mode.SWAPPED.
        chunk: frames drawn at a time.

    Returns:
        [len(frames), R, R, 3] uint8.

    Raises:
        ValueError: a mode that takes its style from elsewhere.
    """
    if not mode.has_own_style and mode is not Mode.AUDIO:
        raise ValueError(f"mode {mode} takes its style from elsewhere than the prepared clip")
    device = next(networks.parameters()).device
    chosen = list(frames if frames is not None else range(len(clip.frames)))
    sound = clip.samples if samples is None else samples
    first = to_pictures(torch.from_numpy(clip.frames[:1].copy()).permute(0, 3, 1, 2).to(device))
    z, offsets = networks.identities(torch.tensor([person], device=device), first)
    values = torch.zeros(len(clip.frames), networks.quantiser.steps.shape[0], device=device)
    if mode.has_own_style and networks.config.style.enabled:
        values = networks.quantiser.round(raw_style_values(networks, clip))
        if not mode.has_lips:
            values[:, BASE_STYLE_VALUES:] = 0
    parts = []
    for start in range(0, len(chosen), chunk):
        numbers = chosen[start : start + chunk]
        windows = np.stack([audio_window(sound, t) for t in numbers]).astype(np.float32) / 32768
        e = networks.faces.audio_encoder(torch.from_numpy(windows).to(device))
        m = z + networks.faces.style_decoder(values[numbers]) + e
        drawn = networks.faces.generator.render(m, layer_offsets=offsets)
        parts.append(((drawn + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy())
    return np.concatenate(parts)
