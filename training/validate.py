"""Validation within a run: a few held-out clips drawn by the averaged weights; numbers, a grid, a clip to look at.

The grid's columns are moments; its rows are true, live style, base layer only, sound only, and another clip's sound.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.data.clip_format import Clip
from training.data.clip_store import ClipSource
from training.data.clip_video import write_video
from training.data.contact_sheet import contact_sheet, write_png
from training.loss.feature_networks import FeatureNetworks
from training.metrics import frames_to_unit, high_band_ratio, landmark_distance, psnr, ssim
from training.mode import Mode
from training.networks import TrainNetworks
from training.reconstruct import reconstruct_clip

GRID_COLUMNS = 6


def validate(
    networks: TrainNetworks,
    clips: ClipSource,
    persons: list[str],
    features: FeatureNetworks,
    num_clips: int,
    every: int = 5,
) -> dict[str, float | None]:
    """Mean metrics of `num_clips` clips, on every `every`-th frame.

    Returns:
        "val/psnr", "val/ssim", "val/sharpness" and "val/mouth_lmd" for live style, and the first and last for sound
        alone ("val/audio_..."). A value is None when nothing could be measured.
    """
    rows: list[dict[str, float]] = []
    for index in range(min(num_clips, clips.num_clips)):
        clip = clips.clip(index)
        frames = range(0, len(clip.frames), every)
        real = frames_to_unit(clip.frames[list(frames)])
        row: dict[str, float] = {}
        for prefix, mode in (("val/", Mode.LIVE), ("val/audio_", Mode.AUDIO)):
            drawn = reconstruct_clip(networks, clip, person_row(persons, clip), mode, frames=frames)
            fake = frames_to_unit(drawn)
            row[f"{prefix}psnr"] = float(psnr(real, fake).mean())
            if mode is Mode.LIVE:
                row["val/ssim"] = float(ssim(real, fake).mean())
                row["val/sharpness"] = high_band_ratio(real, fake)
            if features.landmarks is not None:
                side = clip.frames.shape[1]
                points = [_points(features, x, networks) * side for x in (real, fake)]
                row[f"{prefix}mouth_lmd"] = float(landmark_distance(*points).mean())
        rows.append(row)
    names = sorted({name for row in rows for name in row})
    return {name: float(np.mean([row[name] for row in rows])) for name in names}


@torch.inference_mode()
def _points(features: FeatureNetworks, frames: Tensor, networks: TrainNetworks) -> Tensor:
    device = next(networks.parameters()).device
    return features.points((frames * 2 - 1).to(device)).cpu()


def person_row(persons: list[str], clip: Clip) -> int:
    """Row of a clip's person in the identity table; persons that were not trained on borrow the first."""
    return persons.index(clip.person) if clip.person in persons else 0


def write_samples(networks: TrainNetworks, clips: ClipSource, persons: list[str], folder: Path, step: int) -> None:
    """Write step_N.png (grid) and step_N.mp4 (true beside drawn, with sound) from the first held-out clips."""
    folder.mkdir(parents=True, exist_ok=True)
    clip = clips.clip(0)
    person = person_row(persons, clip)
    moments = range(0, len(clip.frames), max(1, len(clip.frames) // GRID_COLUMNS))[:GRID_COLUMNS]
    rows = [clip.frames[list(moments)]]
    for mode in (Mode.LIVE, Mode.BASE, Mode.AUDIO):
        rows.append(reconstruct_clip(networks, clip, person, mode, frames=moments))
    if clips.num_clips > 1:
        other = clips.clip(1).samples
        rows.append(reconstruct_clip(networks, clip, person, Mode.SWAPPED, frames=moments, samples=other))
    write_png(folder / f"step_{step:08d}.png", contact_sheet(rows))
    drawn = reconstruct_clip(networks, clip, person, Mode.LIVE)
    write_video(folder / f"step_{step:08d}.mp4", np.concatenate([clip.frames, drawn], axis=2), audio=clip.samples)
