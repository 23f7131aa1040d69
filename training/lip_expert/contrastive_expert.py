"""Which lip expert the contrastive loss may use: one that passes its gate on this run's held-out clips, else none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from talkface_core.errors import WeightsError
from training.config import DataSection
from training.data.clip_format import is_prepared, read_manifest
from training.data.clip_store import split_records
from training.data.shards import find_shards, held_out_clips
from training.lip_expert.data import MIN_FRAMES, SpeechClip, load_speech_clips, speech_clip
from training.lip_expert.gate import gate
from training.lip_expert.network import load_lip_expert
from training.loss.feature_networks import LipExpert

MAX_GATE_CLIPS = 20


def gated_lip_expert(
    data: Path, section: DataSection, device: torch.device, log: Callable[[str], None], name_or_path: str = "lip_expert"
) -> LipExpert | None:
    """The expert when it finds the offset of speech it never saw (recipe 3.7); otherwise None, after a line why.

    An expert that does not would teach lips nonsense.
    """
    try:
        expert = load_lip_expert(name_or_path)
        result = gate(expert, _held_out_speech(data, section))
    except WeightsError as error:
        log(f"contrastive loss is off: no lip expert ({error})")
        return None
    except ValueError as error:
        log(f"contrastive loss is off: the lip expert could not be put to its gate ({error})")
        return None
    if not result.passed:
        log(f"contrastive loss is off: the lip expert's gate: {result.describe()}; landmarks alone teach the lips")
        return None
    log(f"lip expert: {result.describe()}")
    return expert.to(device)


def _held_out_speech(data: Path, section: DataSection) -> list[SpeechClip]:
    """Validation clips with sound, of a prepared folder or of shards."""
    if not is_prepared(data):
        clips = held_out_clips(find_shards(data), section)[:MAX_GATE_CLIPS]
        return [speech_clip(c.name, c.points, c.samples) for c in clips if c.has_sound and len(c.points) >= MIN_FRAMES]
    _, held_out = split_records(read_manifest(data), section.train_split, section.val_split)
    return load_speech_clips(data, held_out[:MAX_GATE_CLIPS])
