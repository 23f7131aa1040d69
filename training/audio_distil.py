"""E_audio taught without drawing: the sound learns what sound and lips layer together told the generator.

End to end (the paper's way) one sample costs a drawn frame, so that on a CPU E_audio hears too little. But what the
mouth should do is known after such a run: y = e + d_lips, with the lips layer looking at the true mouth. Here E_audio
learns y from the sound alone, by least squares in the latent space: 183 samples a second on two cores, where such a
run draws 11. Then the lips decoder learns what is left, y - e. A run from there (`talkface train --init`) brings both
and the generator together.

Shapes: N frames of all clips, K voices, M spectrogram columns, D latent dimension, V style values.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from talkface_core.errors import WeightsError
from talkface_core.interfaces import BASE_STYLE_VALUES
from talkface_core.sound.audio_encoder import AudioEncoder
from talkface_core.sound.mel import MEL_BINS, WINDOW_COLUMNS
from talkface_core.style.encoder import StyleDecoder
from talkface_core.whole_file import write_whole
from training.checkpoint import Checkpoint, latest_checkpoint, load_checkpoint, save_checkpoint
from training.config import TrainConfig
from training.data.audio_augment import clip_voice
from training.data.clip_format import ClipRecord, read_clip, read_manifest
from training.data.clip_store import split_records
from training.data.sampler import audio_window
from training.data.synthetic_voice import grid_sentence, synthetic_mels
from training.export import load_run
from training.networks import TrainNetworks
from training.reconstruct import raw_style_values
from training.small_nets.loop import TimedSchedule, train_small
from training.small_nets.run import SmallRun

EMA_DECAY = 0.998
_CHUNK = 256
_LIPS_STEPS = 1500
_LIPS_BATCH = 512
_SAY_EVERY_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class DistilOptions:
    """What the command line says."""

    run: Path
    """The run whose averaged networks teach and are the start."""
    data: Path
    """Prepared folder that it trained on."""
    out: Path
    """Folder of the new run; `talkface export` and `talkface train --init` take it."""
    minutes: float = 15.0
    """Wall time of E_audio's training; reading the clips comes before it."""
    batch_size: int = 96
    lr: float = 1.5e-3
    """Highest learning rate; it falls along a cosine."""
    synthetic_voices: int = 0
    """Synthetic voices per clip that say its sentence in step with it (`training.data.synthetic_voice`)."""
    max_steps: int = 0
    """Stop after so many steps even if there is time left; 0: never."""


@dataclass(frozen=True, slots=True)
class Lessons:
    """All frames of some clips."""

    mels: NDArray[np.float16]
    """[K, N, 80, M]; voice 0 is the clip's own."""
    lips: Tensor
    """[N, V] rounded style values, base layer 0."""
    target: Tensor
    """[N, D] y = e + d_lips of the teacher."""


def train_audio(options: DistilOptions, *, log: Callable[[str], None] = print) -> Path:
    """Teach E_audio and fit the lips decoder; returns the new run's folder.

    Raises:
        WeightsError: `run` holds no finished checkpoint, or has no style to learn from.
        ValueError: no clip with sound, `out` is the run itself, or synthetic voices are wanted and espeak-ng or the
            sentences are missing.
    """
    if options.out.resolve() == options.run.resolve():
        raise ValueError(f"--out {options.out} is the run itself; give another folder")
    if options.synthetic_voices < 0:
        raise ValueError("--synthetic-voices must be 0 or more")
    if options.minutes <= 0 or options.batch_size < 1 or options.lr <= 0:
        raise ValueError("--minutes, --batch-size and --lr must be above 0")
    config, networks, _ = load_run(options.run)
    if not config.style.enabled:
        raise WeightsError(f"{options.run}: was trained without style: there are no lips to learn from")
    with_sound = [r for r in read_manifest(options.data) if r.has_sound]
    if not with_sound:
        raise ValueError(f"{options.data} holds no clip with sound")
    train_records, val_records = split_records(with_sound, config.data.train_split, config.data.val_split)
    if not val_records:
        raise ValueError(f"{options.data} holds too few clips with sound to hold any out: prepare more of them")
    if options.synthetic_voices and not any(grid_sentence(r.name) for r in train_records):
        raise ValueError(
            f"--synthetic-voices: no clip of {options.data} is named as GRID names its sentences (bbaf2n); use 0"
        )
    options.out.mkdir(parents=True, exist_ok=True)
    sounds = options.out / "mels.npy"
    try:
        changed, synthetic = config.audio.voices, options.synthetic_voices
        log(f"reading {len(train_records)} clips in {1 + changed + synthetic} voices")
        lessons = make_lessons(networks, config, options.data, train_records, changed, synthetic, sounds)
        held_out = make_lessons(networks, config, options.data, val_records, 0, min(synthetic, 1), None)
        teacher = networks.faces.audio_encoder
        log(f"sound explains {explained(teacher, held_out):.1%} of the mouth's latents on held-out clips before")
        student = teach(teacher, lessons, held_out, config, options, log)
    finally:
        sounds.unlink(missing_ok=True)
    decoder = fit_lips(networks.faces.style_decoder, lessons, heard(student, lessons.mels[0]), config.train.seed)
    rest = heard(student, held_out.mels[0]) + d_lips(decoder, held_out.lips) - held_out.target
    log(
        f"sound explains {explained(student, held_out):.1%}, with the lips layer {share(rest, held_out.target):.1%}; "
        f"`talkface train --init {options.out}` brings the generator and both together"
    )
    _save(options, student, decoder)
    return options.out


def make_lessons(
    networks: TrainNetworks,
    config: TrainConfig,
    folder: Path,
    records: Sequence[ClipRecord],
    num_changed: int,
    num_synthetic: int,
    file: Path | None,
) -> Lessons:
    """Spectrograms and teacher's latents of every frame.

    Args:
        num_changed: changed voices per clip besides its own.
        num_synthetic: synthetic voices after those; a clip whose sentence is not known gets its own voice again.
        file: where to keep the spectrograms (0.2 GB for ten minutes and voice); None: in memory.
    """
    total = sum(r.num_frames for r in records)
    shape = (1 + num_changed + num_synthetic, total, MEL_BINS, WINDOW_COLUMNS)
    mels: NDArray[np.float16] = (
        np.empty(shape, np.float16)
        if file is None
        else np.lib.format.open_memmap(file, mode="w+", dtype=np.float16, shape=shape)
    )
    values, start = [], 0
    for index, record in enumerate(records):
        clip = read_clip(folder, record)
        end = start + len(clip.frames)
        for voice in range(1 + num_changed):
            samples = clip_voice(config.audio, config.train.seed, index, voice, clip.samples)
            windows = np.stack([audio_window(samples, t) for t in range(len(clip.frames))]).astype(np.float32) / 32768
            with torch.inference_mode():
                mels[voice, start:end] = networks.faces.audio_encoder.mel(torch.from_numpy(windows))[:, 0].numpy()
        sentence = grid_sentence(record.name)
        for voice in range(1 + num_changed, len(mels)):
            rng = np.random.default_rng([config.train.seed, index, voice])
            mels[voice, start:end] = (
                mels[0, start:end]
                if sentence is None
                else synthetic_mels(clip.samples, sentence, config.audio, rng, len(clip.frames))
            )
        values.append(networks.quantiser.round(raw_style_values(networks, clip)))
        start = end
    lips = torch.cat(values)
    lips[:, :BASE_STYLE_VALUES] = 0
    target = heard(networks.faces.audio_encoder, mels[0]) + d_lips(networks.faces.style_decoder, lips)
    return Lessons(mels, lips, target)


@torch.inference_mode()
def heard(encoder: AudioEncoder, mels: NDArray[np.float16]) -> Tensor:
    """[N, 80, M] to e [N, D]."""
    chunks = range(0, len(mels), _CHUNK)
    return torch.cat([encoder.encode_mel(_as_input(mels[i : i + _CHUNK])) for i in chunks])


@torch.inference_mode()
def d_lips(decoder: StyleDecoder, lips: Tensor) -> Tensor:
    """[N, V] with base values 0 to the lips layer's part of d, [N, D]."""
    d: Tensor = decoder(lips)
    return d


def explained(encoder: AudioEncoder, lessons: Lessons, voice: int = 0) -> float:
    """Share of the target's variance that E_audio gets from a voice, 0 for the clips' own: 1 is all."""
    return share(heard(encoder, lessons.mels[voice]) - lessons.target, lessons.target)


def share(error: Tensor, target: Tensor) -> float:
    """1 - |error|² / |target - its mean|²."""
    return 1.0 - float(error.square().sum() / (target - target.mean(0)).square().sum())


def teach(
    teacher: AudioEncoder,
    lessons: Lessons,
    held_out: Lessons,
    config: TrainConfig,
    options: DistilOptions,
    log: Callable[[str], None],
) -> AudioEncoder:
    """E_audio, started from the teacher's, after `minutes` of least squares; the average of its last steps."""
    student = copy.deepcopy(teacher).requires_grad_(True)
    average = copy.deepcopy(teacher)
    optimizer = torch.optim.AdamW(student.parameters(), lr=options.lr, betas=(0.9, 0.99), weight_decay=1e-2)
    rng = np.random.default_rng([config.train.seed, 11])
    variance = float((lessons.target - lessons.target.mean(0)).square().sum(1).mean())
    num_voices, num_frames = lessons.mels.shape[:2]

    def losses() -> dict[str, Tensor]:
        frames = rng.integers(0, num_frames, options.batch_size)
        own = (rng.random(options.batch_size) < config.audio.own_voice) | (num_voices == 1)
        chosen = np.where(own, 0, rng.integers(min(1, num_voices - 1), num_voices, options.batch_size))
        mels = perturbed(np.stack([lessons.mels[v, f] for v, f in zip(chosen, frames, strict=True)]), rng)
        e = student.encode_mel(_as_input(mels))
        return {"loss/latents": (e - lessons.target[frames]).square().sum(1).mean() / variance}

    run = SmallRun(student, optimizer, average, EMA_DECAY)
    said_s = 0.0

    def say_when_due(progress: float) -> None:
        nonlocal said_s
        if run.spent_s - said_s > _SAY_EVERY_S:
            said_s = run.spent_s
            foreign = f", {explained(average, held_out, 1):.1%} by synthetic voices" if len(held_out.mels) > 1 else ""
            said = f"{explained(average, held_out):.1%} explained by sound{foreign}"
            log(f"step {run.num_steps}  {progress:.0%}  held-out clips: {said}")

    schedule = TimedSchedule(lr=options.lr, minutes=options.minutes, warmup_steps=50, max_steps=options.max_steps)
    train_small(run, schedule, losses, after_step=say_when_due)
    return average.eval()


def perturbed(mels: NDArray[np.float16], rng: np.random.Generator) -> NDArray[np.float32]:
    """[B, 80, M] louder or softer, moved by up to two bins, and with a few bins and columns hidden (SpecAugment,
    Park et al. 2019)."""
    out = mels.astype(np.float32) + rng.normal(0, 0.25, (len(mels), 1, 1)).astype(np.float32)
    for mel in out:
        mel[:] = np.roll(mel, int(rng.integers(-2, 3)), axis=0)
        if rng.random() < 0.3:
            low = int(rng.integers(0, MEL_BINS - 10))
            mel[low : low + int(rng.integers(2, 10))] = 0
        if rng.random() < 0.3:
            first = int(rng.integers(0, WINDOW_COLUMNS - 3))
            mel[:, first : first + int(rng.integers(1, 4))] = 0
    return out


def fit_lips(decoder: StyleDecoder, lessons: Lessons, e: Tensor, seed: int) -> StyleDecoder:
    """The style decoder with its lips layer fitted to y - e [N, D]; its base layer stays."""
    fitted = copy.deepcopy(decoder)
    fitted.lips.requires_grad_(True)
    optimizer = torch.optim.Adam(fitted.lips.parameters(), lr=1e-3)
    rng = np.random.default_rng([seed, 12])
    rest = lessons.target - e
    for step in range(_LIPS_STEPS):
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * (1 - step / _LIPS_STEPS)
        frames = rng.integers(0, len(rest), _LIPS_BATCH)
        loss = (fitted(lessons.lips[frames]) - rest[frames]).square().sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return fitted.requires_grad_(False)


def _as_input(mels: NDArray[np.float16] | NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.asarray(mels, np.float32))[:, None]


def _save(options: DistilOptions, student: AudioEncoder, decoder: StyleDecoder) -> None:
    path = latest_checkpoint(options.run / "checkpoints")
    assert path is not None  # load_run has read it
    source = load_checkpoint(path)
    tensors = {name: tensor for name, tensor in source.tensors.items() if name.startswith("ema/")}
    for prefix, module in (("audio_encoder", student), ("style_decoder", decoder)):
        for name, tensor in module.state_dict().items():
            tensors[f"ema/faces.{prefix}.{name}"] = tensor.contiguous()
    meta = {**source.meta, "has_moments": False}
    save_checkpoint(options.out / "checkpoints", int(source.meta["step"]), Checkpoint(tensors, meta), keep=1)
    config = json.loads((options.run / "config.json").read_text())
    write_whole(options.out / "config.json", (json.dumps(config, indent=1) + "\n").encode())
