"""What each moment of a run asks for: learning rate, which terms, which resolution; a pure function of progress.

Progress is 0..1 of the run: by wall time when `train.minutes` is set (better hardware only means more steps), else by
steps (a resumed run is then exactly the uninterrupted one).
"""

from __future__ import annotations

import numpy as np
import torch

from talkface_core.face.generator import Window
from training.config import TrainConfig
from training.step import Phase

COARSE_SHARE = 4
"""Windows are cut after the layers of a quarter of the resolution."""


def progress(config: TrainConfig, step: int, elapsed_s: float) -> float:
    """Share of the run that is done, 0..1."""
    by_steps = step / config.train.steps
    by_time = elapsed_s / 60 / config.train.minutes if config.train.minutes > 0 else 0.0
    return min(1.0, max(by_steps, by_time))


def learning_rate_factor(config: TrainConfig, step: int, done: float) -> float:
    """Factor on every learning rate: warm-up by steps, linear decay to 0 by progress."""
    train = config.train
    warmup = min(1.0, (step + 1) / train.warmup_steps) if train.warmup_steps else 1.0
    decay = 1.0 if done <= train.decay_from else (1.0 - done) / max(1.0 - train.decay_from, 1e-9)
    return warmup * max(decay, 0.0)


def phase_at(config: TrainConfig, step: int, done: float, device: torch.device) -> Phase:
    """What step `step` at progress `done` does."""
    train, loss = config.train, config.loss
    shrink = 4 if done < train.quarter_until else 2 if done < train.small_until else 1
    ramp = 1.0 if train.gan_ramp <= 0 else (done - train.gan_from) / train.gan_ramp
    has_critic = loss.adversarial > 0 or loss.mouth_adversarial > 0
    gan = 0.0 if shrink > 1 or not has_critic or done < train.gan_from else min(1.0, max(ramp, 0.0))
    return Phase(
        gan_weight=gan,
        sync=done >= train.sync_from,
        contrastive=done >= train.contrastive_from,
        straight_through=done >= train.straight_through_from,
        resolution_px=max(4, config.model.resolution_px // shrink),
        regularise=gan > 0 and step % loss.r1_interval == 0,
        window=draw_window(config, step) if shrink == 1 and train.window_px else None,
        dtype=torch.bfloat16 if train.bf16 and bf16_helps(device) else torch.float32,
    )


def draw_window(config: TrainConfig, step: int) -> Window | None:
    """The part of the picture that step `step` draws, the same for all its clips and in every process.

    Corners are rare when a square is thrown into a square; throwing it a little beyond the edge and pulling it back
    makes up for that.
    """
    train = config.train
    rng = np.random.default_rng([train.seed, 3, step])
    if rng.random() >= train.window_share:
        return None
    coarse = config.model.resolution_px // COARSE_SHARE
    size = train.window_px // COARSE_SHARE
    last = coarse - size
    top, left = (int(v) for v in rng.integers(-last // 4, last + last // 4 + 1, 2).clip(0, last))
    return Window(coarse, top, left, size)


def bf16_helps(device: torch.device) -> bool:
    """CUDA since Ampere, or a CPU with AMX or AVX-512 bf16; elsewhere bfloat16 on a CPU is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    # torch has no public question for this; mkldnn's answer is what its convolutions go by.
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
