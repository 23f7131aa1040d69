"""One style path: training, validation and export, evaluation and a live session see the same values in a clip."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from talkface_core.face.model import TalkfaceModel, load_face_model
from talkface_core.style.input import SquareCrop
from training.config import TrainConfig
from training.data.clip_format import Clip, read_clip, read_manifest
from training.data.clip_store import open_folder, resize_clip
from training.data.sampler import Sampler
from training.data.stored_points import StoredPoints
from training.distributed import World
from training.evaluate.clip import clip_style
from training.export import ExportOptions, export_run, load_run
from training.loop import open_run
from training.loss.feature_networks import FeatureNetworks
from training.networks import TrainNetworks
from training.reconstruct import raw_style_values

FRAMES = 30
"""Of every clip in `prepared`."""


def training_values(networks: TrainNetworks, config: TrainConfig, folder: Path, cache: Path) -> NDArray[np.float32]:
    """[T, V] of the first training clip as a training step's batch gives them, the cover not grown."""
    whole = dataclasses.replace(
        config,
        train=dataclasses.replace(config.train, frames_per_clip=FRAMES, batch_size=1),
        style=dataclasses.replace(config.style, context_frames=0),
        data=dataclasses.replace(config.data, max_clips=1),
    )
    clips, _ = open_folder(
        folder,
        resolution_px=config.model.resolution_px,
        train_split="train",
        val_split="val",
        max_clips=1,
        cache_gb=1,
        cache_folder=cache,
    )
    batch = Sampler(clips, clips.persons, whole).batch(0)
    batch = dataclasses.replace(batch, cover_scale=torch.ones_like(batch.cover_scale))
    with torch.inference_mode():
        return networks.encode_style(batch)[0].numpy()


def live_values(model: TalkfaceModel, clip: Clip) -> NDArray[np.float32]:
    """[T, V] of a call's session, frame by frame, in the networks' own unit."""
    side = clip.frames.shape[1]
    session = model.style_encoder(StoredPoints(clip.points), crop=SquareCrop(side / 2, side / 2, side))
    values = np.stack([v for frame in clip.frames if (v := session.encode_frame(frame)) is not None])
    return values * model.weights.networks.style_scale.numpy()


@pytest.mark.parametrize("center", [False, True], ids=["as they are", "centred"])
@pytest.mark.parametrize("mask_mouth", [True, False], ids=["covered", "uncovered"])
def test_training_evaluation_and_a_call_see_the_same(
    tiny_config: TrainConfig,
    prepared: Path,
    tmp_path: Path,
    features: FeatureNetworks,
    mask_mouth: bool,
    center: bool,
) -> None:
    style = dataclasses.replace(tiny_config.style, mask_mouth=mask_mouth, center=center)
    config = dataclasses.replace(tiny_config, style=style)
    open_run(config, prepared, tmp_path / "run", features, World()).save()
    export_run(ExportOptions(run=tmp_path / "run", data=prepared, out=tmp_path / "weights"))
    model = load_face_model(tmp_path / "weights")
    _, networks, _ = load_run(tmp_path / "run")
    # The same numbers on both sides: weights are stored in half precision.
    networks.faces.style_encoder.load_state_dict(model.weights.networks.style_encoder.state_dict())
    clip = read_clip(prepared, next(r for r in read_manifest(prepared) if r.split == "train"))
    assert len(clip.frames) == FRAMES

    trained = training_values(networks, config, prepared, tmp_path)
    reconstructed = raw_style_values(networks, clip).numpy()
    evaluated = clip_style(model, clip) * model.weights.networks.style_scale.numpy()
    live = live_values(model, resize_clip(clip, config.model.resolution_px))
    for values in (reconstructed, evaluated, live):
        np.testing.assert_allclose(values, trained, atol=2e-5)
    assert np.abs(trained[1:]).min(axis=0).max() > 1e-4
    assert (not trained[0].any()) == center
