"""Recipes: functions that return a `TrainConfig`, one per kind of run; `RECIPES` lists them for the command line.

Stages of one shipped model: `prior256` (generator and identity encoder on many faces), `joint256` (e + z + d
together), `person256` (both in one for one person), `tune256` (personal tuning). Ablations are short overrides.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from training.config import (
    AudioSection,
    DataSection,
    LossConfig,
    ModelConfig,
    RunSection,
    StyleSection,
    TrainConfig,
    TrainSection,
)


def paper() -> TrainConfig:
    """The paper's settings: equations 8 to 12 and nothing else; Adam 1e-4, weight decay 1e-6, batch 32, 25 fps.

    The paper gives no λ. The adversarial and contrastive terms are scaled as Wav2Lip and MuseTalk scale theirs; the
    landmark term is a sum over 68 points in fractions of the frame, so that 0.1 brings it to the others' size.
    VGG-16 weights come by path (--loss.vgg16_weights).
    """
    return TrainConfig(
        recipe="paper",
        model=ModelConfig(channel_base=16384, channel_max=512, identity="encoder"),
        loss=LossConfig(
            perceptual=1.0,
            adversarial=0.05,
            sync=0.1,
            sync_gated=False,
            contrastive=0.05,
            perceptual_backend="vgg16",
            vgg16_weights="vgg16-397923af.pth",
        ),
        train=TrainSection(steps=1_000_000, batch_size=32, frames_per_clip=5, lr=1e-4, weight_decay=1e-6),
        style=StyleSection(mask_mouth=False, drop=0.0, drop_lips=0.0),
    )


_SHARP = LossConfig(
    perceptual=0.1,
    adversarial=0.05,
    sync=0.05,
    contrastive=0.05,
    pyramid_l1=1.0,
    laplacian=1.0,
    feature_matching=0.5,
    mouth_adversarial=0.05,
    temporal=0.5,
    rate=1e-4,
    face_weight=2.0,
    mouth_weight=4.0,
    sync_mouth_weight=4.0,
    sync_jaw_weight=0.25,
    r1_gamma=0.4,
)
_HEARD = AudioSection(voices=8, own_voice=0.4, opus_bps=(6000, 8000, 12000), gain_db=6.0, noise_share=0.3)
_GAN_TRAIN = TrainSection(
    steps=1_000_000,
    batch_size=16,
    frames_per_clip=2,
    lr=5e-4,
    lr_generator=2e-3,
    lr_discriminator=2e-3,
    beta1=0.0,
    beta2=0.99,
    clip_gradient=5.0,
    warmup_steps=200,
    sync_from=0.3,
    decay_from=0.6,
    gan_from=0.3,
    gan_ramp=0.1,
    contrastive_from=0.5,
    straight_through_from=0.8,
)


def person256() -> TrainConfig:
    """One person at 256 px: paired reconstruction first, then the adversarial terms; two hours by default."""
    return TrainConfig(
        recipe="person256",
        loss=_SHARP,
        train=dataclasses.replace(_GAN_TRAIN, minutes=120.0, small_until=0.2),
        style=StyleSection(drop=0.2, drop_lips=0.3, drop_audio=0.1, cross=0.25),
        audio=_HEARD,
    )


def person256_light() -> TrainConfig:
    """One person at 256 px where there is no GPU, neither for training nor for drawing: the weights that ship.

    A generator of a third of the arithmetic, which two cores without bfloat16 still draw in time; small batches, so
    that slow machines make many steps; fine layers learned on windows; noise that is learned remembers what stands
    still; no feature network but the landmarks'. Four hours by default.
    """
    base = person256()
    return dataclasses.replace(
        base,
        recipe="person256_light",
        model=dataclasses.replace(base.model, channel_base=4096, learned_noise=True, discriminator_base=2048),
        loss=dataclasses.replace(
            base.loss,
            perceptual=0.0,
            contrastive=0.0,
            mouth_adversarial=0.0,
            adversarial=0.03,
            feature_matching=0.3,
            laplacian=2.5,
            band_energy=4.0,
            squared=4.0,
            sync=0.1,
            temporal=0.0,
            rate=3e-5,
            mouth_weight=5.0,
            eye_weight=4.0,
        ),
        train=dataclasses.replace(
            base.train,
            minutes=240.0,
            batch_size=12,
            frames_per_clip=1,
            lr=3e-4,
            lr_generator=1e-3,
            lr_styles=2e-4,
            beta1=0.5,
            warmup_steps=50,
            ema_decay=0.998,
            window_px=128,
            window_share=0.95,
            quarter_until=0.12,
            small_until=0.2,
            sync_from=0.2,
            gan_from=0.5,
            gan_ramp=0.05,
            straight_through_from=0.9,
        ),
        style=StyleSection(context_frames=2, drop=0.15, drop_lips=0.5, drop_audio=0.06, step_64ths=8),
        audio=dataclasses.replace(base.audio, voices=3),
    )


def prior256() -> TrainConfig:
    """Generator and identity encoder on frames and stills of many people: the start for any face."""
    return TrainConfig(
        recipe="prior256",
        model=ModelConfig(identity="encoder"),
        loss=dataclasses.replace(_SHARP, contrastive=0.0, temporal=0.0, rate=0.0),
        train=dataclasses.replace(_GAN_TRAIN, minutes=60.0, frames_per_clip=1, batch_size=16, small_until=0.3),
        style=StyleSection(context_frames=0, drop=0.3, drop_audio=1.0),
        data=DataSection(flip=True),
    )


def prior256_light() -> TrainConfig:
    """The start for any face where there is no GPU: all models on many people, from a one-person run (--init).

    What moves and what is heard is known from that person already; stills teach what faces look like. At a quarter and
    half of the resolution first: what a face is made of is coarse, and small pictures are cheap. Two hours by default.
    """
    base = person256_light()
    return dataclasses.replace(
        base,
        recipe="prior256_light",
        model=dataclasses.replace(base.model, identity="encoder", learned_noise=False),
        loss=dataclasses.replace(base.loss, adversarial=0.0, feature_matching=0.0),
        train=dataclasses.replace(
            base.train,
            minutes=120.0,
            lr_audio=3e-5,
            quarter_until=0.3,
            small_until=0.6,
            decay_from=0.6,
            gan_from=1.0,
        ),
        style=dataclasses.replace(base.style, drop=0.4),
        audio=dataclasses.replace(base.audio, voices=1),
        data=DataSection(flip=True),
    )


def joint256() -> TrainConfig:
    """Everything together for several people, from a `prior256` run (--init)."""
    base = person256()
    return dataclasses.replace(
        base,
        recipe="joint256",
        model=dataclasses.replace(base.model, identity="encoder"),
        train=dataclasses.replace(base.train, small_until=0.0, gan_from=0.05),
        data=DataSection(flip=True),
    )


def tune256() -> TrainConfig:
    """Personal tuning: G alone, a third of the learning rate, from a `joint256` or `person256` run (--init)."""
    base = person256()
    return dataclasses.replace(
        base,
        recipe="tune256",
        train=dataclasses.replace(
            base.train,
            minutes=20.0,
            lr=1.5e-4,
            lr_generator=6e-4,
            small_until=0.0,
            gan_from=0.0,
            gan_ramp=0.05,
            contrastive_from=1.0,
            straight_through_from=0.0,
            freeze_encoders=True,
        ),
    )


def debug_cpu() -> TrainConfig:
    """A few minutes on two cores: every part once, at 64 px; the picture is poor, the losses fall."""
    return TrainConfig(
        recipe="debug_cpu",
        model=ModelConfig(
            resolution_px=64,
            latent_dim=128,
            channel_base=2048,
            channel_max=64,
            discriminator_base=1024,
            discriminator_max=64,
            minibatch_group=1,
        ),
        loss=dataclasses.replace(_SHARP, adversarial=0.02, mouth_adversarial=0.02, r1_interval=8, contrastive=0.02),
        train=dataclasses.replace(
            _GAN_TRAIN,
            steps=200,
            batch_size=4,
            warmup_steps=10,
            decay_from=0.7,
            sync_from=0.5,
            gan_from=0.5,
            contrastive_from=0.5,
            bf16=False,
        ),
        style=StyleSection(context_frames=2, drop=0.1, drop_lips=0.3, cross=0.2),
        audio=AudioSection(voices=1, own_voice=0.5, opus_bps=(8000,), gain_db=3.0, noise_share=0.5),
        data=DataSection(cache_gb=1.0),
        run=RunSection(log_every=10, sample_every=100, validate_every=100, validate_clips=2, checkpoint_every=50),
    )


RECIPES: dict[str, Callable[[], TrainConfig]] = {
    "paper": paper,
    "prior256": prior256,
    "prior256_light": prior256_light,
    "joint256": joint256,
    "person256": person256,
    "person256_light": person256_light,
    "tune256": tune256,
    "debug_cpu": debug_cpu,
}


def get_recipe(name: str) -> TrainConfig:
    """A recipe by name.

    Raises:
        ValueError: there is none of that name; the message lists them.
    """
    if name not in RECIPES:
        raise ValueError(f"recipe {name!r} is unknown; there are {', '.join(RECIPES)}")
    return RECIPES[name]()


def without_lip_sync(config: TrainConfig) -> TrainConfig:
    """Table II, w/o LipSync: no landmark, contrastive or mouth terms; style alone carries the lips."""
    loss = dataclasses.replace(config.loss, sync=0.0, contrastive=0.0, mouth_adversarial=0.0, mouth_weight=1.0)
    return dataclasses.replace(config, recipe=f"{config.recipe}-no-lipsync", loss=loss)


def without_video_reference(config: TrainConfig) -> TrainConfig:
    """Table II, w/o VideoRef: d = 0; sound and identity alone."""
    style = dataclasses.replace(config.style, enabled=False)
    loss = dataclasses.replace(config.loss, rate=0.0)
    return dataclasses.replace(config, recipe=f"{config.recipe}-no-videoref", style=style, loss=loss)


ABLATIONS: dict[str, Callable[[TrainConfig], TrainConfig]] = {
    "lipsync": without_lip_sync,
    "videoref": without_video_reference,
}
