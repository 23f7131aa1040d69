"""A synthetic prepared folder: drawn faces whose mouths open with the loudness of their sound."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from talkface_core.tracking.landmarks import LandmarkNet
from training.config import TrainConfig
from training.data.clip_format import Clip, ClipRecord, write_clip, write_manifest
from training.loss.feature_networks import FeatureNetworks, LandmarkFeatures, SquaredDistance
from training.recipes import debug_cpu

os.environ.setdefault("OMP_NUM_THREADS", "1")
# Helpers that spawned worker processes import too.
sys.path.append(str(Path(__file__).parent / "support"))
SIDE = 64
FRAMES = 30


def face_points(shift: float, opening: float) -> np.ndarray:
    """[68, 2] of an upright face, moved sideways, mouth open by `opening` pixels."""
    points = np.zeros((68, 2), np.float32)
    centre = np.array([32 + shift, 28])
    for i in range(17):
        points[i] = centre + np.array([(i - 8) * 2.2, 22 - ((i - 8) ** 2) * 0.25 + opening * 0.5])
    for i in range(17, 27):
        points[i] = centre + np.array([(i - 21.5) * 2.6, -6])
    points[27:36] = centre + np.stack([np.linspace(-3, 3, 9), np.linspace(0, 9, 9)], axis=1)
    points[33] = centre + np.array([0, 9])
    for k, base in ((0, 36), (1, 42)):
        eye = centre + np.array([-8 + 16 * k, 0])
        points[base : base + 6] = eye + np.array([[-4, 0], [-1, -1], [1, -1], [4, 0], [1, 1], [-1, 1]])
    for i in range(20):
        angle = 2 * np.pi * i / 20
        points[48 + i] = centre + np.array([6 * np.cos(angle), 16 + (1 + opening) * np.sin(angle)])
    return points


def make_clip(name: str, person: str, seed: int, frames: int = FRAMES) -> Clip:
    """One clip; the loudness of each frame sets how far the mouth is open."""
    rng = np.random.default_rng(seed)
    loud = np.clip(np.convolve(rng.uniform(-1, 1, frames + 8), np.ones(5) / 2, "valid")[:frames], 0, 1)
    shift = 4 * np.sin(np.arange(frames) / 6 + seed)
    points = np.stack([face_points(s, 4 * v) for s, v in zip(shift, loud, strict=True)])
    ys, xs = np.mgrid[0:SIDE, 0:SIDE]
    video = np.empty((frames, SIDE, SIDE, 3), np.uint8)
    for t in range(frames):
        picture = np.stack([60 + xs, 90 + ys * 0.8, np.full_like(xs, 120 + 20 * (seed % 3))], axis=-1).astype(float)
        face = ((xs - 32 - shift[t]) / 18) ** 2 + ((ys - 34) / 24) ** 2 < 1
        picture[face] = [200, 160, 140]
        for eye in (-8, 8):
            picture[(xs - 32 - shift[t] - eye) ** 2 / 9 + (ys - 28) ** 2 / 3 < 1] = 20
        picture[((xs - 32 - shift[t]) / 6) ** 2 + ((ys - 44) / (1 + 4 * loud[t])) ** 2 < 1] = [120, 20, 30]
        video[t] = picture.clip(0, 255)
    gain = np.repeat(loud, 640) * 8000
    pitch = 100 + 20 * (seed % 5)
    time = np.arange(frames * 640) / 16_000
    voice = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 12))
    samples = (gain * voice / 3 + rng.normal(size=frames * 640) * 20).clip(-32768, 32767).astype(np.int16)
    return Clip(name, person, video, points.astype(np.float32), samples, True)


def record_of(clip: Clip, split: str) -> ClipRecord:
    """The manifest line of a synthetic clip."""
    return ClipRecord(
        name=clip.name,
        person=clip.person,
        split=split,
        num_frames=len(clip.frames),
        resolution_px=SIDE,
        source=f"{clip.name}.mp4",
        start_s=0.0,
        has_sound=True,
        av_offset_frames=0.0,
        crop=(0.0, 0.0, float(SIDE)),
    )


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five training and two validation clips of two persons."""
    folder = tmp_path_factory.mktemp("prepared")
    records = []
    for i in range(7):
        clip = make_clip(f"clip{i}", f"person{i % 2}", i)
        records.append(record_of(clip, "train" if i < 5 else "val"))
        write_clip(folder, records[-1], clip, np.ones(len(clip.frames), bool))
    write_manifest(folder, records)
    return folder


@pytest.fixture
def tiny_config() -> TrainConfig:
    """`debug_cpu` made smaller still, every term on from the first steps."""
    base = debug_cpu()
    return dataclasses.replace(
        base,
        model=dataclasses.replace(
            base.model,
            resolution_px=32,
            latent_dim=32,
            channel_base=512,
            channel_max=16,
            discriminator_base=512,
            discriminator_max=16,
        ),
        train=dataclasses.replace(
            base.train, steps=4, batch_size=2, gan_from=0.0, gan_ramp=0.0, contrastive_from=0.0, warmup_steps=2
        ),
        loss=dataclasses.replace(base.loss, r1_interval=2),
        run=dataclasses.replace(base.run, log_every=1, sample_every=100, validate_every=100, tensorboard=False),
        data=dataclasses.replace(base.data, prefetch=0),
        audio=dataclasses.replace(base.audio, voices=0, opus_bps=()),
    )


class RandomLipExpert:
    """A fixed random projection of mouth points: a lip expert's interface without its training."""

    def __init__(self) -> None:
        self.matrix = torch.randn(5 * 20 * 2, 128, generator=torch.Generator().manual_seed(0)) / 10

    def embed_lips(self, points: torch.Tensor) -> torch.Tensor:
        return points[:, :, 48:].flatten(1) @ self.matrix


@pytest.fixture(scope="session")
def features() -> FeatureNetworks:
    """The real landmark network with seeded random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = LandmarkNet().eval().requires_grad_(False)
    return FeatureNetworks(network, SquaredDistance(LandmarkFeatures(network)), RandomLipExpert())
