"""Everything a training run can be told: typed, validated, with a sentence for every field.

A recipe (training/recipes.py) is a function that returns a `TrainConfig`; `--section.field value` changes one field
(training/config_values.py); unknown names fail.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from training.loss.config import LossConfig as LossConfig
from training.loss.config import require


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """Sizes of the networks."""

    resolution_px: int = 256
    """Side of the drawn frame."""
    latent_dim: int = 512
    """D, the dimension of z, e, d and m; 512 in the paper."""
    channel_base: int = 8192
    """Generator channels at resolution r are channel_base / r, at most channel_max."""
    channel_max: int = 256
    """Most generator channels."""
    identity: Literal["table", "encoder"] = "table"
    """Where z comes from: one learned vector per person, or the feed-forward E_image on a reference frame."""
    layer_offsets: bool = False
    """Give every person static per-layer offsets too, from the table or by E_image, which then sees through trained
    networks; off is the paper."""
    discriminator: Literal["stylegan2", "projected"] = "stylegan2"
    """StyleGAN2's residual network, trained from scratch; or small heads on the frozen, trained EfficientNet-Lite0."""
    discriminator_base: int = 8192
    """Discriminator channels at resolution r are discriminator_base / r, at most discriminator_max."""
    discriminator_max: int = 256
    """Most discriminator channels."""
    learned_noise: bool = False
    """Train G's noise maps too: a memory of what stands still, for runs on one person."""
    minibatch_group: int = 4
    """Samples whose deviation D sees; 1 switches that map off and makes D independent of how a batch is split."""

    def __post_init__(self) -> None:
        require(
            8 <= self.resolution_px <= 1024 and self.resolution_px & (self.resolution_px - 1) == 0,
            "model.resolution_px",
            f"must be a power of two from 8 to 1024, not {self.resolution_px}",
        )
        for name in ("latent_dim", "channel_base", "channel_max", "discriminator_base", "discriminator_max"):
            require(getattr(self, name) >= 1, f"model.{name}", f"must be 1 or more, not {getattr(self, name)}")
        require(self.minibatch_group >= 1, "model.minibatch_group", "must be 1 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainSection:
    """Optimisation."""

    steps: int = 100_000
    """Optimiser steps of the whole run; with `minutes` only the upper bound."""
    minutes: float = 0.0
    """Length of the run in minutes of wall time, over all resumptions; 0: `steps` decide. Schedules follow it."""
    batch_size: int = 32
    """Clips per step, over all processes and accumulation parts."""
    frames_per_clip: int = 1
    """T: consecutive frames drawn per clip."""
    accumulate: int = 1
    """Parts that a batch is worked through in, to save memory; the result is the same."""
    lr: float = 1e-4
    """Adam's learning rate of encoders and everything else."""
    lr_generator: float = 0.0
    """Learning rate of G; 0: as `lr`. G's weights are equalised and take a larger one."""
    lr_styles: float = 0.0
    """Learning rate of G's style layers (m to the scale of each channel) and of the identities; 0: as `lr_generator`.
    Their 512 inputs move together under Adam, so that a step changes a style twenty times as much as a filter."""
    lr_audio: float = 0.0
    """Learning rate of E_audio; 0: as `lr`. A small one keeps what `talkface train-audio` has taught it."""
    lr_discriminator: float = 0.0
    """Learning rate of both discriminators; 0: as `lr`."""
    beta1: float = 0.9
    """Adam's β₁; 0 is StyleGAN's."""
    beta2: float = 0.999
    """Adam's β₂."""
    weight_decay: float = 0.0
    """Adam's weight decay (L2); 1e-6 in the paper."""
    clip_gradient: float = 0.0
    """Largest norm of the gradient of G and encoders together; 0: not clipped."""
    warmup_steps: int = 0
    """Steps over which learning rates grow from 0."""
    decay_from: float = 1.0
    """Share of the run after which learning rates fall linearly to 0; 1: never."""
    gan_from: float = 0.0
    """Share of the run after which the adversarial terms begin."""
    gan_ramp: float = 0.0
    """Share of the run over which they grow to their weight."""
    sync_from: float = 0.0
    """Share of the run after which the landmark term begins: landmarks of grey fog teach nothing."""
    contrastive_from: float = 0.0
    """Share of the run after which the contrastive term begins."""
    straight_through_from: float = 1.0
    """Share of the run after which style is rounded instead of noised."""
    quarter_until: float = 0.0
    """Share of the run spent at a quarter of the resolution, without adversarial terms."""
    small_until: float = 0.0
    """Share of the run after which the full resolution is drawn; until then, half of it without adversarial terms."""
    window_px: int = 0
    """Side of the part of the picture that is drawn at full resolution and judged by D; 0: whole pictures. Layers up to
    a quarter of the resolution always draw all of it."""
    window_share: float = 0.75
    """With windows: share of the steps at full resolution that draw one. The others draw whole pictures without D and
    carry the terms that need a whole face."""
    ema_decay: float = 0.999
    """Decay per step of the averaged weights, which samples, validation and export use."""
    bf16: bool = True
    """Convolutions in bfloat16 (CUDA, or CPUs with AMX); weights and losses stay in float32."""
    seed: int = 0
    """Every random draw follows from seed, step and sample number."""
    narrow_init: bool = False
    """Accept a start (--init) with a wider generator: each layer keeps the channels that weigh most."""
    freeze_generator: bool = False
    """Train the encoders alone."""
    freeze_encoders: bool = False
    """Train G (and D) alone: personal tuning."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "frames_per_clip", "accumulate"):
            require(getattr(self, name) >= 1, f"train.{name}", f"must be 1 or more, not {getattr(self, name)}")
        require(self.batch_size % self.accumulate == 0, "train.accumulate", "must divide train.batch_size")
        require(self.minutes >= 0, "train.minutes", "must be 0 or more")
        for name in (
            "lr",
            "lr_generator",
            "lr_styles",
            "lr_audio",
            "lr_discriminator",
            "weight_decay",
            "clip_gradient",
        ):
            require(getattr(self, name) >= 0, f"train.{name}", "must be 0 or more")
        require(self.lr > 0, "train.lr", "must be above 0")
        for name in ("beta1", "beta2", "ema_decay"):
            require(0 <= getattr(self, name) < 1, f"train.{name}", "must be at least 0 and below 1")
        shares = ("decay_from", "gan_from", "gan_ramp", "sync_from", "contrastive_from", "straight_through_from")
        for name in (*shares, "quarter_until", "small_until"):
            require(0 <= getattr(self, name) <= 1, f"train.{name}", "is a share of the run, 0 to 1")
        require(0 < self.window_share <= 1, "train.window_share", "is a share of the steps, above 0")
        require(
            self.window_px == 0 or (self.window_px >= 32 and self.window_px & (self.window_px - 1) == 0),
            "train.window_px",
            f"must be 0 or a power of two from 32 on, not {self.window_px}",
        )
        require(
            not (self.freeze_generator and self.freeze_encoders), "train.freeze_generator", "nothing is left to train"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class StyleSection:
    """What E_style sees and how lips are kept out of it."""

    enabled: bool = True
    """False trains without video reference: d = 0 always (Table II, w/o VideoRef)."""
    context_frames: int = 4
    """Frames before the drawn ones that warm up the LSTM."""
    mask_mouth: bool = True
    """Cover the mouth in the base layer's picture, so that lips come from the sound; the weights say so."""
    drop: float = 0.1
    """Share of clips with d = 0."""
    drop_lips: float = 0.3
    """Share of the other clips without the lips layer."""
    drop_audio: float = 0.0
    """Share of clips with e = 0."""
    cross: float = 0.0
    """Share of clips that get the sound of another clip and are judged on eyes, brows and nose alone."""
    step_64ths: int = 32
    """The quantiser's step in 64ths of the encoder's own unit. A value that spreads over less than a step tells
    nothing: finer steps cost bits and let fine motion through."""
    center: bool = False
    """Subtract the style's mean over the frames seen so far, so that identity cannot hide in it; the weights say so."""

    def __post_init__(self) -> None:
        require(1 <= self.step_64ths <= 512, "style.step_64ths", f"must be 1 to 512, not {self.step_64ths}")
        require(self.context_frames >= 0, "style.context_frames", "must be 0 or more")
        for name in ("drop", "drop_lips", "drop_audio", "cross"):
            require(0 <= getattr(self, name) <= 1, f"style.{name}", "is a share, 0 to 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class AudioSection:
    """Augmentation of the sound; what the receiver hears has been through Opus."""

    voices: int = 0
    """Changed voices (pitch, formants, noise, Opus) made per clip besides its own; 0: the sound as it is."""
    own_voice: float = 0.4
    """Share of draws that keep the own voice."""
    opus_bps: tuple[int, ...] = ()
    """Bitrates of the Opus round trip, drawn per voice; empty: none."""
    gain_db: float = 0.0
    """Gain is drawn from ± this."""
    noise_share: float = 0.0
    """Share of voices with noise added at 10 to 30 dB."""

    def __post_init__(self) -> None:
        require(self.voices >= 0, "audio.voices", "must be 0 or more")
        require(all(6000 <= b <= 128_000 for b in self.opus_bps), "audio.opus_bps", "must be 6000 to 128000 each")
        for name in ("own_voice", "noise_share"):
            require(0 <= getattr(self, name) <= 1, f"audio.{name}", "is a share, 0 to 1")
        require(self.gain_db >= 0, "audio.gain_db", "must be 0 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSection:
    """Which prepared clips, and how they are held."""

    train_split: str = "train"
    """Clips of this split are trained on."""
    val_split: str = "val"
    """Clips of this split are validated on; when none has it, the last tenth of the others by name."""
    shares: tuple[str, ...] = ()
    """Shares of the samples that persons get, such as ("grid_s1:0.2",); all others divide the rest by their clips."""
    flip: bool = False
    """Mirror half of the clips left to right."""
    still_frames: int = 0
    """Turn each still into a clip of so many frames while reading it, with the motion that is noted in the folder
    (training/landmarks/pseudo_video.py); 0: stills stand still."""
    cache_gb: float = 4.0
    """Decoded frames up to this size stay in memory; above it they lie in a file in the run folder."""
    max_clips: int = 0
    """Use only the first so many training clips; 0: all."""
    prefetch: int = 2
    """Batches made ahead by a thread; 0: none."""

    def __post_init__(self) -> None:
        require(0 <= self.still_frames <= 1000, "data.still_frames", "must be 0 to 1000")
        require(self.cache_gb >= 0, "data.cache_gb", "must be 0 or more")
        require(self.max_clips >= 0, "data.max_clips", "must be 0 or more")
        require(sum(self.person_shares().values()) <= 1, "data.shares", "add up to more than 1")
        require(self.prefetch >= 0, "data.prefetch", "must be 0 or more")

    def person_shares(self) -> dict[str, float]:
        """`shares` by person.

        Raises:
            ValueError: a share is not PERSON:SHARE with a share of 0 to 1.
        """
        found: dict[str, float] = {}
        for text in self.shares:
            person, _, share = text.rpartition(":")
            try:
                found[person] = float(share)
            except ValueError:
                found[person] = -1.0
            require(bool(person) and 0 <= found[person] <= 1, "data.shares", f"{text!r} is not PERSON:SHARE, 0 to 1")
        return found


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSection:
    """Logs, samples, checkpoints."""

    log_every: int = 50
    """Steps between lines of stats.jsonl and progress."""
    sample_every: int = 1000
    """Steps between sample grids and clips."""
    validate_every: int = 1000
    """Steps between validations."""
    validate_clips: int = 4
    """Clips that a validation draws."""
    checkpoint_every: int = 500
    """Steps between checkpoints."""
    checkpoint_minutes: float = 10.0
    """A checkpoint is also written after so many minutes."""
    keep_checkpoints: int = 2
    """Older checkpoints are removed."""
    compact_checkpoints: bool = False
    """Store weights as float16 and no optimiser moments: a fifth of the size, but resuming is no longer exact."""
    tensorboard: bool = True
    """Write TensorBoard event files where the package is installed."""

    def __post_init__(self) -> None:
        for name in ("log_every", "sample_every", "validate_every", "checkpoint_every", "keep_checkpoints"):
            require(getattr(self, name) >= 1, f"run.{name}", f"must be 1 or more, not {getattr(self, name)}")
        require(self.checkpoint_minutes > 0, "run.checkpoint_minutes", "must be above 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """One training run."""

    recipe: str
    """Name of the recipe that made this."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """Sizes of the networks."""
    loss: LossConfig = field(default_factory=LossConfig)
    """Weights of the loss terms."""
    train: TrainSection = field(default_factory=TrainSection)
    """Optimisation."""
    style: StyleSection = field(default_factory=StyleSection)
    """Talking style."""
    audio: AudioSection = field(default_factory=AudioSection)
    """Sound."""
    data: DataSection = field(default_factory=DataSection)
    """Clips."""
    run: RunSection = field(default_factory=RunSection)
    """Logs, samples, checkpoints."""

    def __post_init__(self) -> None:
        require(
            self.loss.temporal == 0 or self.train.frames_per_clip >= 2,
            "loss.temporal",
            "needs --train.frames_per_clip 2 or more",
        )
        require(
            self.train.window_px < self.model.resolution_px,
            "train.window_px",
            f"must be smaller than model.resolution_px, {self.model.resolution_px}",
        )
        require(
            self.loss.feature_matching == 0 or self.loss.adversarial > 0,
            "loss.feature_matching",
            "needs a discriminator: --loss.adversarial above 0",
        )

    @property
    def trained_against(self) -> frozenset[str]:
        """Kinds of trained networks that losses or discriminators look through: no judges of what comes out."""
        has_critic = self.loss.adversarial > 0 or self.loss.mouth_adversarial > 0
        # Here, for --help and the doctor read a config without the time and memory that torch takes.
        from talkface_core.judges import efficientnet

        projected = {efficientnet.KIND} if has_critic and self.model.discriminator == "projected" else set()
        return frozenset(self.loss.networks()) | projected
