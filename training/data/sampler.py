"""Batches: which clip, which moment, what is dropped; every draw follows from (seed, step, sample number).

So a resumed run sees what an uninterrupted one would have seen, and two processes see together what one would.

Shapes: B clips, C context frames, T drawn frames, W = C + T, S audio window, V style values, H = T + 4 hybrid points.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from talkface_core.interfaces import STYLE_VALUES
from talkface_core.sound.mel import PAST_SAMPLES, SAMPLES_PER_FRAME, WINDOW_SAMPLES
from talkface_core.tracking.landmarks import MIRROR
from training.config import TrainConfig
from training.data.audio_augment import VoiceCache
from training.data.clip_format import Clip
from training.data.clip_store import ClipSource

HYBRID_CONTEXT = 2
"""True frames on either side of the drawn ones in a hybrid sequence (paper III.G.2)."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's samples, or a part of them."""

    frames: Tensor
    """[B, W, 3, R, R] uint8 RGB"""
    points: Tensor
    """[B, W, 68, 2] float32 pixels"""
    windows: Tensor
    """[B, T, S] float32 sound around each drawn frame (another clip's where `cross`)"""
    other_windows: Tensor
    """[B, T, S] sound of the same clip at another time: negatives of eq. 11"""
    hybrid_points: Tensor
    """[B, H, 68, 2] pixels: drawn frames with HYBRID_CONTEXT true ones on either side"""
    hybrid_mask: Tensor
    """[B, H] bool: which of them are generated"""
    reference: Tensor
    """[B, 3, R, R] uint8: a frame of the same clip for E_image"""
    person: Tensor
    """[B] int64 index into the persons"""
    style_noise: Tensor
    """[B, W, V] uniform in [-1/2, 1/2]: the quantiser's stand-in, in steps"""
    cover_scale: Tensor
    """[B] how much larger the mouth cover is"""
    keep_style: Tensor
    """[B] 1, or 0 for d = 0"""
    keep_lips: Tensor
    """[B] 1, or 0 for no lips layer"""
    keep_audio: Tensor
    """[B] 1, or 0 for e = 0"""
    cross: Tensor
    """[B] 1 where the sound belongs to another clip"""
    positive: Tensor
    """[B] y of eq. 11: 1 own sound, 0 `other_windows`"""
    has_sound: Tensor
    """[B] 0 for stills and silent clips: nothing about lips can be learned"""

    def to(self, device: torch.device) -> Batch:
        """On another device."""
        return Batch(*(getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)))

    def split(self, parts: int) -> list[Batch]:
        """Equal parts along B."""
        pieces = [getattr(self, f.name).chunk(parts) for f in fields(self)]
        return [Batch(*(piece[i] for piece in pieces)) for i in range(parts)]

    @property
    def size(self) -> int:
        """B"""
        return self.frames.shape[0]


def audio_window(samples: NDArray[np.int16], frame: int) -> NDArray[np.int16]:
    """The S samples around video frame `frame`, zero outside the clip."""
    start = frame * SAMPLES_PER_FRAME - PAST_SAMPLES
    window = np.zeros(WINDOW_SAMPLES, np.int16)
    low, high = max(start, 0), min(start + WINDOW_SAMPLES, len(samples))
    if high > low:
        window[low - start : high - start] = samples[low:high]
    return window


def clip_chances(source: ClipSource, shares: dict[str, float]) -> NDArray[np.float64] | None:
    """Running sum of each clip's chance, [num_clips], the last one 1; None: all alike.

    Raises:
        ValueError: a person of `shares` has no clip, or nobody is left for the rest.
    """
    if not shares:
        return None
    people = [source.clip(i).person for i in range(source.num_clips)]
    if absent := sorted(set(shares) - set(people)):
        raise ValueError(f"data.shares: no clip shows {absent[0]!r}; there are {', '.join(source.persons)}")
    rest = 1 - sum(shares.values())
    num_others = sum(person not in shares for person in people)
    if num_others == 0 and rest > 1e-9:
        raise ValueError(f"data.shares: a share of {rest:.3g} is left and nobody to give it to")
    chances = np.array([shares[p] / people.count(p) if p in shares else rest / num_others for p in people])
    running: NDArray[np.float64] = np.cumsum(chances)
    running[-1] = 1.0
    return running


class Sampler:
    """Draws the samples of this process.

    Args:
        source: clips.
        persons: names that give the person indices.
        config: the run.
        rank: number of this process, 0..world-1.
        world: number of processes.
    """

    def __init__(
        self, source: ClipSource, persons: list[str], config: TrainConfig, rank: int = 0, world: int = 1
    ) -> None:
        if config.train.batch_size % (world * config.train.accumulate):
            raise ValueError(
                f"train.batch_size {config.train.batch_size} must be a multiple of {world} processes x "
                f"{config.train.accumulate} accumulation parts"
            )
        self._source, self._config, self._rank, self._world = source, config, rank, world
        self._persons = {name: i for i, name in enumerate(persons)}
        self._chances = clip_chances(source, config.data.person_shares())
        self._voices = VoiceCache(config.audio, config.train.seed)
        self._num_frames = config.style.context_frames + config.train.frames_per_clip

    def batch(self, step: int) -> Batch:
        """This process's share of the batch of step `step`."""
        share = self._config.train.batch_size // self._world
        numbers = range(self._rank * share, (self._rank + 1) * share)
        samples = [self._draw(np.random.default_rng([self._config.train.seed, 1, step, n])) for n in numbers]
        return Batch(*(torch.stack([s[f.name] for s in samples]) for f in fields(Batch)))

    def batches(self, first_step: int, stop: threading.Event) -> Generator[Batch, None, None]:
        """Batches from `first_step` on, made ahead by a thread; set `stop` to end it.

        Raises:
            Exception: whatever making a batch raised, in the caller's thread.
        """
        depth = self._config.data.prefetch
        if depth == 0:
            step = first_step
            while not stop.is_set():
                yield self.batch(step)
                step += 1
            return
        ready: queue.Queue[Batch | Exception] = queue.Queue(maxsize=depth)

        def produce() -> None:
            step = first_step
            while not stop.is_set():
                item: Batch | Exception
                try:
                    item = self.batch(step)
                except Exception as error:
                    item = error
                while not stop.is_set():
                    try:
                        ready.put(item, timeout=0.2)
                        break
                    except queue.Full:
                        continue
                if isinstance(item, Exception):
                    return
                step += 1

        thread = threading.Thread(target=produce, name="batches", daemon=True)
        thread.start()
        try:
            while not stop.is_set():
                item = ready.get()
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            stop.set()
            thread.join(timeout=5)

    def _draw(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """One sample."""
        style, frames_per_clip = self._config.style, self._config.train.frames_per_clip
        index = self._draw_clip(rng)
        clip = self._source.clip(index)
        first = int(rng.integers(max(1, len(clip.frames) - frames_per_clip + 1)))
        flip = self._config.data.flip and rng.random() < 0.5
        # Frames before the clip's start repeat the first one.
        drawn = np.clip(np.arange(first, first + frames_per_clip), 0, len(clip.frames) - 1)
        seen = np.clip(np.arange(first - style.context_frames, first + frames_per_clip), 0, len(clip.frames) - 1)
        around = np.arange(first - HYBRID_CONTEXT, first + frames_per_clip + HYBRID_CONTEXT)
        around = np.clip(around, 0, len(clip.frames) - 1)
        cross = clip.has_sound and rng.random() < style.cross
        sound_index, sound_frames = self._other_sound(index, rng) if cross else (index, drawn)
        far = self._far_frames(clip, first, rng)
        length = HYBRID_CONTEXT * 2 + frames_per_clip
        hybrid = np.zeros(length, bool)
        run = int(rng.integers(1, frames_per_clip + 1))
        at = HYBRID_CONTEXT + int(rng.integers(frames_per_clip - run + 1))
        hybrid[at : at + run] = True
        keep_style = rng.random() >= style.drop and style.enabled
        noise = rng.uniform(-0.5, 0.5, (self._num_frames, STYLE_VALUES)).astype(np.float32)
        reference = clip.frames[int(rng.integers(len(clip.frames)))]
        values = {
            "frames": _pictures(clip.frames[seen], flip),
            "points": self._flipped(clip.points[seen], flip),
            "windows": self._windows(sound_index, sound_frames, rng),
            "other_windows": self._windows(index, far, rng),
            "hybrid_points": self._flipped(clip.points[around], flip),
            "hybrid_mask": torch.from_numpy(hybrid),
            "reference": _pictures(reference[None], flip)[0],
            "person": torch.tensor(self._persons[clip.person]),
            "style_noise": torch.from_numpy(noise),
        }
        numbers = {
            "cover_scale": rng.uniform(1.0, 1.2),
            "keep_style": keep_style,
            "keep_lips": rng.random() >= style.drop_lips,
            "keep_audio": clip.has_sound and rng.random() >= style.drop_audio,
            "cross": cross,
            "positive": rng.random() < 0.5,
            "has_sound": clip.has_sound,
        }
        return {**values, **{k: torch.tensor(float(v)) for k, v in numbers.items()}}

    def _draw_clip(self, rng: np.random.Generator) -> int:
        if self._chances is None:
            return int(rng.integers(self._source.num_clips))
        return int(np.searchsorted(self._chances, rng.random(), side="right"))

    def _other_sound(self, index: int, rng: np.random.Generator) -> tuple[int, NDArray[np.int64]]:
        """A moment of another clip with sound (of this one when there is no other)."""
        for _ in range(8):
            other = int(rng.integers(self._source.num_clips))
            if other != index and self._source.clip(other).has_sound:
                index = other
                break
        count = len(self._source.clip(index).frames)
        length = self._config.train.frames_per_clip
        first = int(rng.integers(max(1, count - length + 1)))
        return index, np.clip(np.arange(first, first + length), 0, count - 1)

    def _far_frames(self, clip: Clip, first: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Frames 3 to 15 away from the drawn ones: the hard negatives of a lip expert."""
        length, count = self._config.train.frames_per_clip, len(clip.frames)
        shift = int(rng.integers(3, 16)) * (1 if rng.random() < 0.5 else -1)
        if not 0 <= first + shift <= count - length:
            shift = -shift
        return np.clip(np.arange(first + shift, first + shift + length), 0, count - 1)

    def _windows(self, index: int, frames: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        clip = self._source.clip(index)
        samples = self._voices.get(index, self._voices.choose(rng), clip.samples)
        gain = 10 ** (rng.uniform(-1, 1) * self._config.audio.gain_db / 20)
        windows = np.stack([audio_window(samples, int(f)) for f in frames]).astype(np.float32) * (gain / 32768)
        return torch.from_numpy(windows).clamp_(-1, 1)

    def _flipped(self, points: NDArray[np.float32], flip: bool) -> Tensor:
        result = torch.from_numpy(np.array(points))
        if flip:
            side = self._source.clip(0).frames.shape[1]
            result = result[:, list(MIRROR)]
            result = torch.stack([side - result[..., 0], result[..., 1]], dim=-1)
        return result


def _pictures(frames: NDArray[np.uint8], flip: bool) -> Tensor:
    """[N, R, R, 3] to [N, 3, R, R]."""
    pictures = torch.from_numpy(np.array(frames)).permute(0, 3, 1, 2)
    return (pictures.flip(-1) if flip else pictures).contiguous()
