"""What a run starts from: an earlier run's checkpoint, or the weights of a face model (the ones that ship)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from talkface_core.errors import WeightsError
from talkface_core.face.generator import GeneratorConfig
from talkface_core.face.model import weights_folder
from talkface_core.shipped_weights import SHIPPED_WEIGHTS
from talkface_core.weights import CONFIG_NAME, load_face_weights
from training.checkpoint import Checkpoint, latest_checkpoint, load_checkpoint
from training.config import ModelConfig
from training.start.narrow_generator import narrow_generator

SHIPPED_PERSON = "shipped"
"""Name of the one person whose identity comes with a face model; every person of the new run starts there."""


def load_start(path: Path) -> Checkpoint:
    """A run's folder, one of its checkpoints, a folder of face model weights, or the name of weights that ship.

    Raises:
        ValueError: none of these.
        WeightsError, CheckpointMismatchError: damaged, or of another version.
    """
    if not path.exists() and str(path) in SHIPPED_WEIGHTS:
        path = weights_folder(path)
    if (path / CONFIG_NAME).is_file() and any(path.glob("model-*.safetensors")):
        return _from_face_weights(path)
    checkpoint = latest_checkpoint(path / "checkpoints") or latest_checkpoint(path)
    if checkpoint is None and not (path / "index.json").is_file():
        raise ValueError(f"--init {path}: holds no checkpoint; give a run's folder, a checkpoint or a weights folder")
    return load_checkpoint(checkpoint or path)


def narrowed(start: Checkpoint, model: ModelConfig) -> Checkpoint:
    """A start from a wider generator, cut down to the run's width (training/start/narrow_generator.py).

    Raises:
        WeightsError: the checkpoint does not say its sizes.
        ValueError: it cannot be cut down to `model`.
    """
    sizes = ("resolution_px", "latent_dim", "channel_base", "channel_max")
    got: dict[str, Any] = dict(start.meta.get("model") or {})
    if any(not isinstance(got.get(name), int) for name in sizes):
        raise WeightsError("the start does not say the sizes of its generator")
    source = GeneratorConfig(**{name: got[name] for name in sizes})
    target = GeneratorConfig(**{name: getattr(model, name) for name in sizes})
    tensors = {f"ema/{n}": t for n, t in narrow_generator(start.under("ema"), source, target).items()}
    return Checkpoint(tensors, start.meta)


def _from_face_weights(path: Path) -> Checkpoint:
    weights = load_face_weights(path)
    tensors = {f"ema/faces.{name}": tensor for name, tensor in weights.networks.state_dict().items()}
    # Training works in the encoder's own units; sigma units are made at export.
    tensors["ema/faces.style_scale"] = torch.ones_like(weights.networks.style_scale)
    if weights.image_encoder is not None:
        own = weights.image_encoder.state_dict()
        tensors |= {f"ema/identities.encoder.{name}": tensor for name, tensor in own.items()}
    if weights.identity is not None:
        tensors["ema/identities.table"] = torch.from_numpy(weights.identity.z.copy())[None]
        if weights.identity.layer_offsets is not None:
            tensors["ema/identities.offsets"] = torch.from_numpy(weights.identity.layer_offsets.copy())[None]
    config = weights.networks.config
    model = {
        "resolution_px": config.resolution_px,
        "latent_dim": config.latent_dim,
        "channel_base": config.channel_base,
        "channel_max": config.channel_max,
    }
    meta = {"model": model, "persons": [SHIPPED_PERSON], "trained_against": list(weights.trained_against)}
    return Checkpoint(tensors, meta)
