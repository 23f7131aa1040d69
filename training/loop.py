"""The training loop: step, log, sample, validate, checkpoint; stops by itself and resumes with the same command."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from contextlib import closing
from pathlib import Path

import torch
from torch import Tensor

from talkface_core.errors import CheckpointMismatchError, WeightsError
from talkface_core.whole_file import write_whole
from training.checkpoint import check_same_model, latest_checkpoint, load_checkpoint, save_checkpoint
from training.config import TrainConfig
from training.config_values import to_dict
from training.data.clip_format import is_prepared
from training.data.clip_store import ClipSource, open_folder
from training.data.sampler import Batch, Sampler
from training.data.shards import find_shards, open_shards
from training.distributed import World
from training.loss.feature_networks import FeatureNetworks
from training.schedule import learning_rate_factor, phase_at, progress
from training.start.warm_start import load_start, narrowed
from training.state import (
    TrainState,
    initialise_from,
    new_state,
    restore,
    set_learning_rate,
    to_checkpoint,
    update_ema,
)
from training.stats import NonFiniteLossError, ProgressTalk, StatsWriter
from training.step import (
    Phase,
    discriminator_terms,
    discriminator_weights,
    generator_terms,
    generator_weights,
    innovation_scale,
    total,
)
from training.validate import validate, write_samples


def train_step(
    state: TrainState, features: FeatureNetworks, batch: Batch, phase: Phase, config: TrainConfig, world: World
) -> dict[str, Tensor]:
    """One optimiser step of G and encoders, and one of the discriminators.

    Args:
        batch: this process's share; split into `train.accumulate` parts.

    Returns:
        Unweighted terms, means over this process's share, and "loss/total".
    """
    parts = batch.split(config.train.accumulate)
    share = 1 / len(parts)
    sums: dict[str, Tensor] = {}
    drawn_parts: list[Tensor] = []
    scales: list[Tensor] = []
    state.optimizer_g.zero_grad(set_to_none=True)
    weights = generator_weights(config.loss, phase.gan_weight)
    for part in parts:
        terms, drawn = generator_terms(state.networks, features, part, phase, state.rate_scale)
        terms["loss/total"] = total(terms, weights)
        (terms["loss/total"] * share).backward()
        _add(sums, terms, share)
        drawn_parts.append(drawn.frames.detach())
        if drawn.style_values.shape[1] > 1:
            scales.append(innovation_scale(drawn.style_values, state.networks.quantiser.steps))
    if world.reads_are_free:
        _check_finite(sums, state.step)
    world.mean_gradients([*state.networks.generator_parameters(), *state.networks.encoder_parameters()])
    if config.train.clip_gradient > 0:
        both = [*state.networks.generator_parameters(), *state.networks.encoder_parameters()]
        torch.nn.utils.clip_grad_norm_(both, config.train.clip_gradient)
    state.optimizer_g.step()
    if phase.gan_weight > 0 and state.optimizer_d is not None:
        state.optimizer_d.zero_grad(set_to_none=True)
        for part, frames in zip(parts, drawn_parts, strict=True):
            terms = discriminator_terms(state.networks, part, phase, frames)
            if not terms:
                continue  # a whole picture, and no discriminator but the one of windows
            (total(terms, discriminator_weights(config.loss)) * share).backward()
            _add(sums, terms, share)
        if world.reads_are_free:
            _check_finite(sums, state.step)
        world.mean_gradients(state.networks.critic_parameters())
        state.optimizer_d.step()
    if scales:
        state.rate_scale = torch.lerp(state.rate_scale, world.mean(torch.stack(scales).mean(0)), 0.01).clamp_min(0.1)
    state.step += 1
    state.images += batch.size * drawn_parts[0].shape[1] * world.size
    update_ema(state, config.train.ema_decay)
    return sums


def _check_finite(terms: dict[str, Tensor], step: int) -> None:
    """Before an optimiser step takes it in; on a GPU the statistics look later, so as not to wait for it here."""
    for name, value in terms.items():
        if not torch.isfinite(value):
            raise NonFiniteLossError(step, name)


def _add(sums: dict[str, Tensor], terms: dict[str, Tensor], share: float) -> None:
    for name, value in terms.items():
        sums[name] = sums.get(name, torch.zeros_like(value)).detach() + value.detach() * share


class Run:
    """One run in its folder.

    Args:
        config: the run.
        folder: holds config.json, stats.jsonl, checkpoints/, samples/; made when missing, continued when not.
        clips: training clips.
        held_out: validation clips, or None.
        features: frozen networks of the losses.
        world: this process among others.
        init: another run, checkpoint or face model to start from, used only when this run has none of its own.
    """

    def __init__(
        self,
        config: TrainConfig,
        folder: Path,
        clips: ClipSource,
        held_out: ClipSource | None,
        features: FeatureNetworks,
        world: World,
        init: Path | None = None,
    ) -> None:
        self.config, self.folder, self.world, self.features = config, folder, world, features
        self.clips, self.held_out = clips, held_out
        self.checkpoints = folder / "checkpoints"
        self.state = new_state(config, clips.persons, world.device)
        self._begin(init)
        world.same_everywhere([t for t in self.state.networks.state_dict().values()])
        self._last_checkpoint_s = time.monotonic()
        self._talk = ProgressTalk(world.log)

    def _begin(self, init: Path | None) -> None:
        """Resume, start from `init`, or start anew."""
        latest = latest_checkpoint(self.checkpoints)
        model = dataclasses.asdict(self.config.model)
        if latest is not None:
            restore(self.state, load_checkpoint(latest, model), str(latest))
            self.world.log(f"resuming {self.folder} at step {self.state.step}")
        elif init is not None:
            checkpoint = load_start(init)
            got = dict(checkpoint.meta.get("model") or {})
            # What a stage may change: everything but the face networks themselves.
            free = {"identity", "layer_offsets", "minibatch_group", "discriminator_base", "discriminator_max"}
            free |= {"discriminator", "learned_noise"}
            if self.config.train.narrow_init:
                checkpoint = narrowed(checkpoint, self.config.model)
                free |= {"channel_base", "channel_max"}
            expected = {k: v for k, v in model.items() if k not in free}
            check_same_model(str(init), expected, {k: v for k, v in got.items() if k not in free})
            initialise_from(self.state, checkpoint, str(init))
            self.world.log(f"starting from {init}")
        if self.world.is_main:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(self.folder / "config.json", (json.dumps(to_dict(self.config), indent=1) + "\n").encode())

    def train(self, max_steps: int | None = None) -> TrainState:
        """Train until the config's end, or for `max_steps` more steps.

        Raises:
            NonFiniteLossError: a loss is NaN or infinite; nothing of that step is kept.
            CheckpointWriteError: the disk is full, or a weight is not finite; the last good checkpoint is untouched.
        """
        config, state, world = self.config, self.state, self.world
        last_step = config.train.steps if max_steps is None else min(config.train.steps, state.step + max_steps)
        stop = threading.Event()
        sampler = Sampler(self.clips, state.persons, config, world.rank, world.size)
        stats = StatsWriter(self.folder, world, tensorboard=config.run.tensorboard)
        stats.start_counting(state.images)
        with closing(stats), closing(sampler.batches(state.step, stop)) as batches:
            try:
                while state.step < last_step and progress(config, state.step, state.elapsed_s) < 1:
                    began = time.monotonic()
                    done = progress(config, state.step, state.elapsed_s)
                    set_learning_rate(state, learning_rate_factor(config, state.step, done))
                    phase = phase_at(config, state.step, done, world.device)
                    batch = next(batches).to(world.device)
                    stats.add(train_step(state, self.features, batch, phase, config, world), state.step - 1)
                    # One clock for all processes: their schedules must not part.
                    state.elapsed_s = world.agree(state.elapsed_s + time.monotonic() - began)
                    self._after_step(stats)
            except KeyboardInterrupt:
                self._save_finite(stats)
                world.log(f"interrupted: saved step {state.step}; repeat the command to go on")
                raise
            finally:
                stop.set()
            self._save_finite(stats)
        return state

    def _after_step(self, stats: StatsWriter) -> None:
        """What is due after this step."""
        run, step = self.config.run, self.state.step
        done = progress(self.config, step, self.state.elapsed_s)
        row = None
        if step % run.log_every == 0:
            row = stats.write(step, self.state.images, {"time/elapsed_s": self.state.elapsed_s, "progress": done})
        self._talk.tell(step, done, self.state.elapsed_s, row)
        is_last = done >= 1
        if self.held_out is not None and self.world.is_main:
            if step % run.validate_every == 0 or is_last:
                values = validate(self.state.ema, self.held_out, self.state.persons, self.features, run.validate_clips)
                stats.write_validation(step, values)
                shown = "  ".join(f"{k} {v:.4g}" for k, v in values.items() if v is not None)
                self.world.log(f"step {step}  {shown}")
            if step % run.sample_every == 0 or is_last:
                write_samples(self.state.ema, self.held_out, self.state.persons, self.folder / "samples", step)
        minutes = (time.monotonic() - self._last_checkpoint_s) / 60
        if step % run.checkpoint_every == 0 or minutes >= run.checkpoint_minutes:
            self._save_finite(stats)

    def _save_finite(self, stats: StatsWriter) -> None:
        """Look at losses that have only been added up so far, then write a checkpoint."""
        stats.check_finite()
        self.save()

    def save(self) -> None:
        """Write a checkpoint from the main process.

        Raises:
            CheckpointWriteError: the disk is full, or a weight is not finite; the last good one is untouched.
        """
        compact = self.config.run.compact_checkpoints
        if self.world.is_main:
            checkpoint = to_checkpoint(self.state, self.config, with_moments=not compact)
            keep = self.config.run.keep_checkpoints
            save_checkpoint(self.checkpoints, self.state.step, checkpoint, keep, half=compact)
        self._last_checkpoint_s = time.monotonic()


def open_run(
    config: TrainConfig,
    data: Path,
    folder: Path,
    features: FeatureNetworks,
    world: World,
    init: Path | None = None,
) -> Run:
    """A run on a prepared folder or on a folder of shards.

    Raises:
        ValueError: data or config do not fit (the message names the field or file).
        WeightsError, CheckpointMismatchError: the folder holds another run.
    """
    if not is_prepared(data) and (shards := find_shards(data)):
        if config.data.shares:
            # Chances are set once, and the pool's clips come and go.
            raise ValueError("data.shares needs a prepared folder: clips of shards stream through a pool")
        world.log(f"looking through {len(shards)} shards in {data}")
        pool, few = open_shards(
            shards, config.data, config.model.resolution_px, rank=world.rank, world=world.size, seed=config.train.seed
        )
        return Run(config, folder, pool, few, features, world, init)
    clips, held_out = open_folder(
        data,
        resolution_px=config.model.resolution_px,
        train_split=config.data.train_split,
        val_split=config.data.val_split,
        max_clips=config.data.max_clips,
        cache_gb=config.data.cache_gb,
        cache_folder=folder / "cache",
        log=world.log,
        still_frames=config.data.still_frames,
    )
    return Run(config, folder, clips, held_out, features, world, init)


__all__ = ["CheckpointMismatchError", "Run", "WeightsError", "open_run", "train_step"]
