"""The terms of a step: what each kind of sample contributes, and what it must not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from talkface_core.face.generator import Window
from talkface_core.judges.efficientnet import load_efficientnet
from talkface_core.judges.face_recognition import load_face_recogniser
from training.config import TrainConfig
from training.data.clip_store import open_folder
from training.data.sampler import Batch, Sampler
from training.loss.feature_networks import FeatureNetworks
from training.loss.judged import EfficientNetDistance
from training.networks import TrainNetworks
from training.step import (
    Phase,
    discriminator_terms,
    discriminator_weights,
    generator_terms,
    generator_weights,
    pixel_weights,
    total,
    true_frames,
)

PHASE = Phase(
    gan_weight=1.0,
    sync=True,
    contrastive=True,
    straight_through=False,
    resolution_px=32,
    regularise=True,
    dtype=torch.float32,
)
RATE_SCALE = torch.ones(16)


@pytest.fixture
def networks(tiny_config: TrainConfig) -> TrainNetworks:
    torch.manual_seed(0)
    return TrainNetworks(tiny_config, 2)


@pytest.fixture
def batch(tiny_config: TrainConfig, prepared: Path, tmp_path: Path) -> Batch:
    clips, _ = open_folder(
        prepared, resolution_px=32, train_split="train", val_split="val", max_clips=0, cache_gb=1, cache_folder=tmp_path
    )
    style = dataclasses.replace(tiny_config.style, cross=0.0, drop=0.0, drop_lips=0.0, drop_audio=0.0)
    config = dataclasses.replace(tiny_config, style=style)
    return Sampler(clips, clips.persons, config).batch(0)


def with_values(batch: Batch, **values: float) -> Batch:
    return dataclasses.replace(batch, **{k: torch.full_like(getattr(batch, k), v) for k, v in values.items()})


def test_total_is_the_weighted_sum(networks: TrainNetworks, features: FeatureNetworks, batch: Batch) -> None:
    terms, _ = generator_terms(networks, features, batch, PHASE, RATE_SCALE)
    loss = networks.config.loss
    expected = sum(
        terms[f"loss/{name}"].item() * getattr(loss, name)
        for name in ("pyramid_l1", "laplacian", "temporal", "perceptual", "sync", "contrastive", "rate", "adversarial")
    )
    expected += terms["loss/feature_matching"].item() * loss.feature_matching
    expected += terms["loss/mouth_adversarial"].item() * loss.mouth_adversarial
    assert total(terms, generator_weights(loss, 1.0)).item() == pytest.approx(expected, rel=1e-5)
    assert generator_weights(loss, 0.5)["loss/adversarial"] == loss.adversarial / 2
    assert discriminator_weights(loss)["reg/r1_D"] == loss.r1_gamma * loss.r1_interval


def test_foreign_sound_is_judged_on_the_eyes_alone(
    networks: TrainNetworks, features: FeatureNetworks, batch: Batch
) -> None:
    own, _ = generator_terms(networks, features, batch, PHASE, RATE_SCALE)
    cross, _ = generator_terms(networks, features, with_values(batch, cross=1.0), PHASE, RATE_SCALE)
    for name in ("pyramid_l1", "laplacian", "temporal", "perceptual", "contrastive", "feature_matching"):
        assert float(own[f"loss/{name}"].detach()) > 0
        assert float(cross[f"loss/{name}"].detach()) == pytest.approx(0, abs=1e-7), name
    assert 0 < float(cross["loss/sync"]) < float(own["loss/sync"])
    assert float(cross["loss/adversarial"]) == pytest.approx(float(own["loss/adversarial"]))


def test_dropped_inputs_change_nothing_any_more(networks: TrainNetworks, batch: Batch) -> None:
    def draw(b: Batch) -> torch.Tensor:
        with torch.no_grad():
            return networks.draw(b, straight_through=True, dtype=torch.float32, resolution_px=32).frames

    other_sound = dataclasses.replace(batch, windows=batch.windows.flip(0) * 0.5)
    assert not torch.equal(draw(batch), draw(other_sound))
    deaf = {"keep_audio": 0.0}
    assert torch.equal(draw(with_values(batch, **deaf)), draw(with_values(other_sound, **deaf)))
    other_face = dataclasses.replace(batch, frames=255 - batch.frames)
    blind = {"keep_style": 0.0}
    assert not torch.equal(draw(batch), draw(other_face))
    assert torch.equal(draw(with_values(batch, **blind)), draw(with_values(other_face, **blind)))


def test_without_the_lips_layer_the_mouth_is_not_seen(networks: TrainNetworks, batch: Batch) -> None:
    frames = batch.frames.clone()
    frames[..., 20:25, 12:20] = 0  # within the cover of every clip
    changed = dataclasses.replace(batch, frames=frames)

    def draw(b: Batch) -> torch.Tensor:
        with torch.no_grad():
            return networks.draw(b, straight_through=False, dtype=torch.float32, resolution_px=32).frames

    assert not torch.equal(draw(batch), draw(changed))
    assert torch.equal(draw(with_values(batch, keep_lips=0.0)), draw(with_values(changed, keep_lips=0.0)))


def test_windows_are_judged_by_d_and_whole_faces_by_the_rest(
    tiny_config: TrainConfig, prepared: Path, tmp_path: Path, features: FeatureNetworks
) -> None:
    model = dataclasses.replace(tiny_config.model, resolution_px=64)
    train = dataclasses.replace(tiny_config.train, window_px=32)
    config = dataclasses.replace(tiny_config, model=model, train=train)
    clips, _ = open_folder(
        prepared, resolution_px=64, train_split="train", val_split="val", max_clips=0, cache_gb=1, cache_folder=tmp_path
    )
    batch = Sampler(clips, clips.persons, config).batch(0)
    networks = TrainNetworks(config, 2)
    window = Window(coarse_px=16, top=3, left=8, size=8)
    part = dataclasses.replace(PHASE, resolution_px=64, window=window)
    whole = dataclasses.replace(PHASE, resolution_px=64)
    of_part, drawn = generator_terms(networks, features, batch, part, RATE_SCALE)
    assert drawn.frames.shape[-1] == 32
    assert torch.equal(true_frames(batch, 1, part), true_frames(batch, 1, whole)[..., 12:44, 32:64])
    of_whole, whole_drawn = generator_terms(networks, features, batch, whole, RATE_SCALE)
    assert {"loss/adversarial", "loss/feature_matching"} == set(of_part) - set(of_whole)
    assert {"loss/perceptual", "loss/sync", "loss/contrastive", "loss/mouth_adversarial"} == set(of_whole) - set(
        of_part
    )
    assert set(discriminator_terms(networks, batch, part, drawn.frames)) == {"loss/D", "reg/r1_D"}
    assert set(discriminator_terms(networks, batch, whole, whole_drawn.frames)) == {"loss/D_mouth", "reg/r1_D_mouth"}


def test_trained_judges_see_windows_or_whole_faces(
    networks: TrainNetworks, features: FeatureNetworks, batch: Batch
) -> None:
    """EfficientNet compares parts too, the recogniser whole faces alone; a foreign sound leaves the person as it is."""
    judged = dataclasses.replace(
        features, perceptual=EfficientNetDistance(load_efficientnet(), (1, 2)), recogniser=load_face_recogniser()
    )
    loss = dataclasses.replace(networks.config.loss, identity=0.5)
    own, _ = generator_terms(networks, judged, batch, PHASE, RATE_SCALE)
    assert float(own["loss/identity"].detach()) > 0
    assert generator_weights(loss, 1.0)["loss/identity"] == 0.5
    cross, _ = generator_terms(networks, judged, with_values(batch, cross=1.0), PHASE, RATE_SCALE)
    assert float(cross["loss/identity"].detach()) == pytest.approx(float(own["loss/identity"].detach()))
    assert float(cross["loss/perceptual"].detach()) == 0
    part = dataclasses.replace(PHASE, gan_weight=0.0, window=Window(coarse_px=8, top=1, left=2, size=4))
    of_part, _ = generator_terms(networks, judged, batch, part, RATE_SCALE)
    assert float(of_part["loss/perceptual"].detach()) > 0
    assert "loss/identity" not in of_part
    own["loss/identity"].backward()
    assert all(p.grad is not None for p in networks.faces.audio_encoder.parameters())


@pytest.mark.parametrize("gan", ["non_saturating", "relativistic"])
def test_a_projected_discriminator_plays_both_games(
    tiny_config: TrainConfig, features: FeatureNetworks, batch: Batch, gan: str
) -> None:
    config = dataclasses.replace(
        tiny_config,
        model=dataclasses.replace(tiny_config.model, discriminator="projected"),
        loss=dataclasses.replace(tiny_config.loss, gan=gan, focal_frequency=0.5, watson=0.5),
    )
    assert "efficientnet_lite0" in config.trained_against
    torch.manual_seed(0)
    networks = TrainNetworks(config, 2)
    assert not any("_network" in name for name in networks.state_dict())
    terms, drawn = generator_terms(networks, features, batch, PHASE, RATE_SCALE)
    for name in ("adversarial", "mouth_adversarial", "feature_matching", "focal_frequency", "watson"):
        assert float(terms[f"loss/{name}"].detach()) > 0, name
    total(terms, generator_weights(config.loss, 1.0)).backward()
    assert all(p.grad is None for p in networks.critic_parameters())
    networks.zero_grad(set_to_none=True)
    own = discriminator_terms(networks, batch, PHASE, drawn.frames)
    penalties = {"reg/r1_D", "reg/r1_D_mouth"} | ({"reg/r2_D", "reg/r2_D_mouth"} if gan == "relativistic" else set())
    assert set(own) == {"loss/D", "loss/D_mouth"} | penalties
    total(own, discriminator_weights(config.loss)).backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in networks.critic_parameters())


def test_gradients_reach_what_they_should(networks: TrainNetworks, features: FeatureNetworks, batch: Batch) -> None:
    terms, drawn = generator_terms(networks, features, batch, PHASE, RATE_SCALE)
    total(terms, generator_weights(networks.config.loss, 1.0)).backward()
    assert all(p.grad is None for p in networks.critic_parameters())
    for module in (networks.faces.audio_encoder, networks.faces.style_encoder, networks.faces.style_decoder):
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in module.parameters())
    networks.zero_grad(set_to_none=True)
    d_terms = discriminator_terms(networks, batch, PHASE, drawn.frames)
    total(d_terms, discriminator_weights(networks.config.loss)).backward()
    assert all(p.grad is None for p in networks.faces.parameters())
    assert all(p.grad is not None for p in networks.critic_parameters())


def test_without_video_reference_style_is_nothing(tiny_config: TrainConfig, batch: Batch) -> None:
    config = dataclasses.replace(tiny_config, style=dataclasses.replace(tiny_config.style, enabled=False))
    networks = TrainNetworks(config, 2)
    drawn = networks.draw(batch, straight_through=False, dtype=torch.float32, resolution_px=32)
    assert not drawn.style_values.any()


def test_pixel_weights_are_boxes(tiny_config: TrainConfig, batch: Batch) -> None:
    loss = dataclasses.replace(tiny_config.loss, face_weight=2.0, mouth_weight=4.0)
    points = batch.points[:, -1] / 32
    weights = pixel_weights(points, 32, loss)
    assert weights is not None
    assert set(weights.unique().tolist()) == {1, 2, 4}
    x, y = (points[0, 48:].mean(0) * 32).long().tolist()
    assert weights[0, 0, y, x] == 4
    assert weights[0, 0, 0, 0] == 1
    assert pixel_weights(points, 32, dataclasses.replace(loss, face_weight=1.0, mouth_weight=1.0)) is None
    weights = pixel_weights(points, 32, dataclasses.replace(loss, eye_weight=3.0))
    assert weights is not None
    x, y = (points[0, 36:42].mean(0) * 32).long().tolist()
    assert weights[0, 0, y, x] == 3


def test_the_quantisers_step_is_what_the_config_says(tiny_config: TrainConfig, batch: Batch) -> None:
    style = dataclasses.replace(tiny_config.style, step_64ths=8)
    networks = TrainNetworks(dataclasses.replace(tiny_config, style=style), 2)
    drawn = networks.draw(batch, straight_through=True, dtype=torch.float32, resolution_px=32)
    steps = drawn.style_values / 0.125
    torch.testing.assert_close(steps, steps.round(), atol=1e-4, rtol=0)
    assert (steps.round() % 4 != 0).any()  # finer than half a unit
