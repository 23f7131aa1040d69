"""From one picture to a likeness: E_image's guess, views of the picture, pivotal tuning."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from talkface_core.face.model import TalkfaceModel
from talkface_core.interfaces import BASE_STYLE_VALUES, STYLE_VALUES
from talkface_core.sound.mel import WINDOW_SAMPLES, MelWindow
from talkface_core.style.input import SquareCrop
from training.data.sampler import audio_window
from training.data.stored_points import StoredPoints
from training.likeness.tuning import Neighbours, Shown, TunedFace, TuningConfig, TuningProgress, tune
from training.likeness.views import View, views_of
from training.schedule import bf16_helps

NUM_VIEWS = 24
NUM_SOUNDS = 6
"""Moments of speech at which the lips are compared with the untuned face's."""
NUM_OTHERS = 4
_STYLE_FRAMES = 4
"""A view is shown to E_style so often, until its memory has settled."""


def view_style(model: TalkfaceModel, view: View) -> NDArray[np.float32]:
    """[V] what E_style sees in a still view."""
    side = view.picture.shape[0]
    follower = StoredPoints(np.repeat(view.points[None], _STYLE_FRAMES, axis=0))
    encoder = model.style_encoder(follower, crop=SquareCrop(side / 2, side / 2, side))
    values = np.zeros(STYLE_VALUES, np.float32)
    for _ in range(_STYLE_FRAMES):
        found = encoder.encode_frame(view.picture)
        assert found is not None  # stored points are always found
        values = found
    return values


@torch.inference_mode()
def sound_embeddings(model: TalkfaceModel, windows: NDArray[np.float32]) -> Tensor:
    """[N, S] float32 in [-1, 1] to e [N, D]."""
    return model.weights.networks.audio_encoder.encode_mel(MelWindow()(torch.from_numpy(windows)))


@torch.inference_mode()
def style_latents(model: TalkfaceModel, values: NDArray[np.float32]) -> Tensor:
    """[N, V] to d [N, D]."""
    networks = model.weights.networks
    d: Tensor = networks.style_decoder(torch.from_numpy(values) * networks.style_scale)
    return d


def speech_windows(speech: NDArray[np.int16], count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """[count, S] windows at moments of speech that are louder than most.

    Args:
        speech: int16 at 16 kHz.
    """
    frames = max(1, len(speech) // 640)
    windows = np.stack([audio_window(speech, t) for t in range(frames)]).astype(np.float32) / 32768
    loud = np.argsort(-windows.std(axis=1))[: max(1, frames // 2)]
    return windows[rng.choice(loud, count, replace=len(loud) < count)]


def shown_views(model: TalkfaceModel, views: Sequence[View]) -> tuple[Shown, Tensor]:
    """The views with the latents that draw them in silence, and d of the base layer of each [N, D].

    The lips' own layer is that of the given picture in all of them: the views differ in pose alone.
    """
    styles = np.stack([view_style(model, view) for view in views])
    styles[:, BASE_STYLE_VALUES:] = styles[0, BASE_STYLE_VALUES:]
    silence = sound_embeddings(model, np.zeros((1, WINDOW_SAMPLES), np.float32))
    base = styles.copy()
    base[:, BASE_STYLE_VALUES:] = 0
    pictures = torch.stack([torch.from_numpy(view.picture.copy()) for view in views]).permute(0, 3, 1, 2)
    points = torch.from_numpy(np.stack([view.points for view in views]))
    shown = Shown(pictures.float() / 127.5 - 1, points, silence + style_latents(model, styles))
    return shown, style_latents(model, base)


def likeness_of_picture(
    model: TalkfaceModel,
    given: View,
    speech: NDArray[np.int16],
    config: TuningConfig,
    *,
    num_views: int = NUM_VIEWS,
    on_step: Callable[[TuningProgress], None] = lambda progress: None,
) -> TunedFace:
    """Tune the model to the person in one picture.

    Args:
        given: the picture cut as `face_crop` says, at the model's resolution.
        speech: anybody's, int16 at 16 kHz, some seconds: what lips must still follow.

    Raises:
        talkface_core.errors.WeightsError: the weights know one person and have no E_image.
        ValueError: the picture has another size.
    """
    rng = np.random.default_rng(config.seed)
    start = model.encode_portrait(given.picture)
    views = views_of(given, num_views, rng)
    shown, base = shown_views(model, views)
    networks = model.weights.networks
    sounds = sound_embeddings(model, speech_windows(speech, NUM_SOUNDS, rng)) + base[:1]
    someone = torch.from_numpy(model.default_identity().z.copy())
    chosen = rng.choice(len(views), min(NUM_OTHERS, len(views)), replace=False)
    others = (someone + shown.moving[chosen])[:, None].expand(-1, networks.config.num_layers, -1).clone()
    dtype = torch.bfloat16 if bf16_helps(torch.device("cpu")) else torch.float32
    # Tensors made in inference mode cannot take part in a graph: copies can.
    return tune(
        networks,
        Shown(shown.pictures, shown.points, shown.moving.clone()),
        start,
        Neighbours(others.clone(), sounds.clone()),
        config,
        dtype=dtype,
        on_step=on_step,
    )


def tuned_model(model: TalkfaceModel, face: TunedFace) -> TalkfaceModel:
    """The model with this person's generator, for drawing this person."""
    weights = dataclasses.replace(model.weights, networks=face.networks(model.weights.networks))
    return TalkfaceModel(weights)
