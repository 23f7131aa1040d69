"""LSE-D and LSE-C (Prajwal et al., Wav2Lip 2020) by SyncNet's published pipeline.

Every five frames are embedded, every matching 0.2 s of sound too; distances are taken at shifts of -15..15 frames.
LSE-D is the least mean distance over the shifts (lower is better), LSE-C the median minus that least (higher is
better). The published scripts crop with the S3FD detector; we cut the same square around a box made from landmarks.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from talkface_core.sound.mel import SAMPLES_PER_FRAME
from training.metrics.mfcc import mfcc
from training.metrics.result import Unavailable
from training.metrics.syncnet import FRAME_PX, NUM_FRAMES, NUM_MFCC_ROWS, SyncNet, load_syncnet

MAX_SHIFT_FRAMES = 15
CROP_SCALE = 0.40
_BATCH = 16


@dataclass(frozen=True, slots=True)
class LipSyncError:
    """Result of one clip."""

    distance: float
    """LSE-D."""
    confidence: float
    """LSE-C."""
    offset_frames: int
    """Shift at which sound and lips fit best; positive: the sound is early."""


def shifted_distances(lips: Tensor, audio: Tensor, max_shift: int = MAX_SHIFT_FRAMES) -> Tensor:
    """Distance of each lip embedding to the audio embedding k frames away.

    Args:
        lips, audio: [N, C]

    Returns:
        [2 max_shift + 1, N]; row k is shift k - max_shift. Beyond the ends the audio embedding is zero, as published.
    """
    padded = F.pad(audio, (0, 0, max_shift, max_shift))
    rows = [F.pairwise_distance(lips, padded[k : k + len(lips)]) for k in range(2 * max_shift + 1)]
    return torch.stack(rows)


def syncnet_crop(frames: Tensor, points: Tensor) -> Tensor:
    """Cut and scale the square that SyncNet expects: face box side s, from s/2 above to 0.9 s below its centre.

    Args:
        frames: [T, 3, H, W] in [0, 1] RGB.
        points: [T, 68, 2] pixels; their box, stretched to the forehead, stands for the detector's box, and its
            median over 13 frames is used.

    Returns:
        [T, 3, 224, 224] in [0, 255] BGR.
    """
    low, high = points.amin(1), points.amax(1)
    low = low - torch.tensor([0.0, 0.3]) * (high - low)
    half = _median13((high - low).amax(1) / 2)
    centre_x = _median13((low[:, 0] + high[:, 0]) / 2)
    centre_y = _median13((low[:, 1] + high[:, 1]) / 2)
    height, width = frames.shape[-2:]
    crops = []
    for frame, s, x, y in zip(frames, half.tolist(), centre_x.tolist(), centre_y.tolist(), strict=True):
        pad = int(s * (1 + 2 * CROP_SCALE)) + 1
        # 110 is the grey with which the published script fills what lies outside the picture.
        canvas = F.pad(frame * 255, (pad, pad, pad, pad), value=110.0)
        cx, cy = min(max(x, 0), width) + pad, min(max(y, 0), height) + pad
        top, bottom = int(cy - s), int(cy + s * (1 + 2 * CROP_SCALE))
        left, right = int(cx - s * (1 + CROP_SCALE)), int(cx + s * (1 + CROP_SCALE))
        cut = canvas[:, max(top, 0) : bottom, max(left, 0) : right]
        crops.append(F.interpolate(cut[None], size=(FRAME_PX, FRAME_PX), mode="bilinear", align_corners=False)[0])
    return torch.stack(crops).flip(1)


def _median13(values: Tensor) -> Tensor:
    padded = torch.cat([values[:1].repeat(6), values, values[-1:].repeat(6)])
    return padded.unfold(0, 13, 1).median(dim=-1).values


class LipSyncScorer:
    """Scores clips with one loaded SyncNet."""

    def __init__(self, network: SyncNet) -> None:
        self.network = network.eval()

    @torch.inference_mode()
    def score(self, crops: Tensor, samples: NDArray[np.int16]) -> LipSyncError:
        """
        Args:
            crops: [T, 3, 224, 224] from `syncnet_crop`, 25 frames/s.
            samples: [S] int16 at 16 kHz, starting with the first frame.

        Raises:
            ValueError: fewer than seven frames of picture or sound.
        """
        rows = torch.from_numpy(mfcc(samples).T.copy()).float()[None, None]  # [1, 1, 13, rows]
        count = min(len(crops), len(samples) // SAMPLES_PER_FRAME) - NUM_FRAMES
        if count < 2:
            raise ValueError(f"LSE needs 7 frames of picture and sound or more, got {count + NUM_FRAMES}")
        lips, audio = [], []
        for start in range(0, count, _BATCH):
            frames = range(start, min(count, start + _BATCH))
            clip = torch.stack([crops[i : i + NUM_FRAMES].transpose(0, 1) for i in frames])
            sound = torch.cat([rows[..., i * 4 : i * 4 + NUM_MFCC_ROWS] for i in frames])
            lips.append(self.network.embed_lips(clip))
            audio.append(self.network.embed_audio(sound))
        mean = shifted_distances(torch.cat(lips), torch.cat(audio)).mean(1)
        least = int(mean.argmin())
        return LipSyncError(float(mean[least]), float(mean.median() - mean[least]), MAX_SHIFT_FRAMES - least)


def load_lip_sync_scorer(weights: Path | None) -> LipSyncScorer | Unavailable:
    """The scorer, or why there is none.

    Raises:
        WeightsError: a path was given and the file is wrong.
    """
    if weights is None:
        return Unavailable("LSE-D and LSE-C need the official SyncNet weights: pass --syncnet syncnet_v2.model")
    return LipSyncScorer(load_syncnet(weights))
