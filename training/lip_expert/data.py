"""Points and log-mel windows of prepared clips, and random stretches of them for the lip expert."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from torch import Tensor

from talkface_core.sound.mel import PAST_SAMPLES, SAMPLES_PER_FRAME, WINDOW_SAMPLES, MelWindow
from talkface_core.tracking.landmarks import MIRROR
from training.data.clip_format import ClipRecord, read_manifest
from training.lip_expert.network import lip_windows

MIN_FRAMES = 40


@dataclass(frozen=True, slots=True)
class SpeechClip:
    """What the expert needs of one clip."""

    name: str
    points: Tensor
    """[T, 68, 2] float32, pixels of the crop."""
    mel: Tensor
    """[T, 80, M] float16 log-mel window of each frame."""


@torch.inference_mode()
def mel_windows(samples: Tensor, num_frames: int) -> Tensor:
    """Log-mel windows of a clip's frames: [L] float32 in [-1, 1] to [T, 80, M] float16."""
    ahead = WINDOW_SAMPLES - PAST_SAMPLES
    needed = num_frames * SAMPLES_PER_FRAME
    sound = torch.nn.functional.pad(samples[:needed], (PAST_SAMPLES, max(0, needed - len(samples)) + ahead))
    windows = sound.unfold(0, WINDOW_SAMPLES, SAMPLES_PER_FRAME)[:num_frames]
    return MelWindow()(windows)[:, 0].half()


def load_speech_clips(folder: Path, records: list[ClipRecord]) -> list[SpeechClip]:
    """Clips with sound of a prepared folder; the pictures are not read."""
    clips = []
    for record in records:
        if not record.has_sound or record.num_frames < MIN_FRAMES:
            continue
        tensors = load_file(folder / f"{record.name}.safetensors")
        clips.append(speech_clip(record.name, tensors["points"], tensors["samples"]))
    return clips


def speech_clip(name: str, points: NDArray[np.float32], samples: NDArray[np.int16]) -> SpeechClip:
    """From [T, 68, 2] points in pixels of the crop and the sound at 16 kHz."""
    sound = torch.from_numpy(samples.astype(np.float32) / 32768)
    return SpeechClip(name, torch.from_numpy(points.astype(np.float32)), mel_windows(sound, len(points)))


def training_records(folder: Path, fold: int | None, num_folds: int) -> list[ClipRecord]:
    """Records of split `train`; with `fold` given, every clip but those of that fold (for an expert that measures
    another one's work)."""
    records = [r for r in read_manifest(folder) if r.split == "train"]
    return [r for i, r in enumerate(records) if fold is None or i % num_folds != fold]


class SpeechStretches:
    """Random stretches of clips, with small changes of points and sound.

    Args:
        clips: of one or many people.
        num_frames: T of a stretch.
        seed: of every random choice.
    """

    def __init__(self, clips: list[SpeechClip], *, num_frames: int, seed: int) -> None:
        if not clips:
            raise ValueError("no clip with sound to train the lip expert on")
        self._clips = clips
        self._num_frames = num_frames
        self._random = torch.Generator().manual_seed(seed)

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """Lip windows [B, T, 5, 68, 2] and log-mel windows [B, T, 80, M], both float32."""
        lips, mels = [], []
        for index in torch.randint(len(self._clips), (size,), generator=self._random).tolist():
            clip = self._clips[index]
            start = int(torch.randint(len(clip.points) - self._num_frames + 1, (1,), generator=self._random))
            stop = start + self._num_frames
            lips.append(lip_windows(self._changed_points(clip.points))[start:stop])
            mels.append(self._changed_mel(clip.mel[start:stop].float()))
        return torch.stack(lips), torch.stack(mels)

    def _changed_points(self, points: Tensor) -> Tensor:
        """Flip half of the clips; another face's shape (a constant), trembling."""
        size = (points.amax(dim=(0, 1)) - points.amin(dim=(0, 1))).max()
        if torch.rand((), generator=self._random) < 0.5:
            points = points[:, list(MIRROR)] * torch.tensor([-1.0, 1.0])
        points = points + torch.randn(1, 68, 2, generator=self._random) * (0.01 * size)
        strength = float(torch.rand((), generator=self._random)) * 0.005
        return points + torch.randn(points.shape, generator=self._random) * (strength * size)

    def _changed_mel(self, mel: Tensor) -> Tensor:
        """Another loudness, a tilted spectrum, noise; one band and one stretch of columns hidden at times."""
        mel = mel + torch.randn((), generator=self._random) * 0.2
        mel = mel + torch.linspace(-1, 1, mel.shape[1])[None, :, None] * torch.randn((), generator=self._random) * 0.2
        mel = mel + torch.randn(mel.shape, generator=self._random) * 0.1
        if torch.rand((), generator=self._random) < 0.5:
            low = int(torch.randint(mel.shape[1] - 12, (1,), generator=self._random))
            mel[:, low : low + 12] = 0
        return mel
