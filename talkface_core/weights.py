"""Weights of a face model on disk: a folder with `config.json` and safetensors shards, each with its sha256.

    default/config.json                  format, version, sizes, style tables, shards with hashes, its own hash
    default/model-<sha256>.safetensors   tensors named as in FaceNetworks.state_dict(), in one or more shards
    default/style_track.safetensors      optional: the recorded style of the model's own face
    default/directions.safetensors       optional: semantic directions

Nothing is ever unpickled; whatever does not match is refused with the
file's name and the reason.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from talkface_core.errors import CheckpointMismatchError, WeightsError
from talkface_core.face.generator import GeneratorConfig
from talkface_core.face.image_encoder import ImageEncoder
from talkface_core.face.networks import FaceNetworks
from talkface_core.interfaces import FaceIdentity
from talkface_core.module_fill import check_tensors, fill_module
from talkface_core.style.path import DEFAULT_STYLE_SETTINGS, StyleSettings
from talkface_core.style.tables import StyleTables, default_style_tables
from talkface_core.tensor_shards import SHARD_BYTES, read_shards, write_shards
from talkface_core.whole_file import write_whole

WEIGHTS_FORMAT = "talkface-face-model"
CODE_VERSION = 1
"""Raised when the networks' forward pass changes its meaning."""
CONFIG_NAME = "config.json"
STYLE_TRACK_NAME = "style_track.safetensors"
"""Beside a configuration: the recorded style of the identity that comes with the weights (optional)."""
DIRECTIONS_NAME = "directions.safetensors"
"""Beside a configuration: semantic directions for `talkface edit` (optional)."""
MAX_CONFIG_BYTES = 1 << 20
MAX_SHARDS = 64
_IDENTITY_Z = "identity.z"
_IDENTITY_OFFSETS = "identity.layer_offsets"
_IMAGE_ENCODER = "image_encoder."
_TRAINED_AGAINST = "trained_against"
_STYLE_SETTINGS = "style_settings"
"""Optional field of the configuration: how E_style looks at frames; absent: `DEFAULT_STYLE_SETTINGS`."""
_SEAL = "sha256"
"""Field of the configuration: the model's sha256, which follows from the rest; weights of earlier versions lack it."""
_FAILED_RUN = "the training run failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceWeights:
    """A face model as loaded from disk or about to be saved."""

    name: str
    networks: FaceNetworks
    tables: StyleTables = field(default_factory=default_style_tables)
    identity: FaceIdentity | None = None
    """The face that comes with the weights."""
    image_encoder: ImageEncoder | None = None
    """E_image as one pass, where the weights were trained on many people."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Licence, data, command: what the model card says in short."""
    trained_against: tuple[str, ...] = ()
    """Kinds of networks that were losses of this model or of what it started from (`face_recognition`,
    `efficientnet_lite0`, `landmarks`, ...): what was a loss is no judge."""
    sha256: str = ""
    """Over config and shards; set by `save_face_weights` and `load_face_weights`."""


def save_face_weights(folder: Path, weights: FaceWeights, *, half: bool = True, shard_bytes: int = SHARD_BYTES) -> str:
    """Write a face model; returns its sha256.

    The configuration is written last and replaces the old one in one step, and shards carry their hash in the name,
    so an interrupted save leaves the earlier model whole.

    Args:
        half: store floating-point tensors as float16.
        shard_bytes: most bytes per shard.

    Raises:
        WeightsError: the folder cannot be written.
    """
    try:
        return _save(folder, weights, half, shard_bytes)
    except OSError as error:
        raise WeightsError(f"{folder}: cannot write the weights ({error.strerror})") from None


def _save(folder: Path, weights: FaceWeights, half: bool, shard_bytes: int) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    old = {p.name for p in folder.glob("model-*.safetensors")}
    shards = write_shards(
        folder,
        _stored(weights, half).items(),
        lambda _, digest: f"model-{digest[:12]}.safetensors",
        shard_bytes=shard_bytes,
    )
    config = {
        "format": WEIGHTS_FORMAT,
        "code_version": CODE_VERSION,
        "name": weights.name,
        "generator": asdict(weights.networks.config),
        "style_tables": json.loads(weights.tables.to_json()),
        "notes": dict(weights.notes),
        "shards": [{"name": s.name, "sha256": s.sha256, "bytes": s.num_bytes} for s in shards],
    }
    if weights.networks.style_settings != DEFAULT_STYLE_SETTINGS:
        # Only what departs from it is said, so that weights keep the hash that they had before there was a choice.
        config[_STYLE_SETTINGS] = asdict(weights.networks.style_settings)
    if weights.trained_against:
        config[_TRAINED_AGAINST] = list(weights.trained_against)
    digest = _digest(config)
    text = json.dumps({**config, _SEAL: digest}, indent=1, sort_keys=True) + "\n"
    write_whole(folder / CONFIG_NAME, text.encode())
    for name in old - {s.name for s in shards}:
        (folder / name).unlink()
    return digest


def _stored(weights: FaceWeights, half: bool) -> dict[str, Tensor]:
    """All tensors by their names in the shards, in the types in which they are kept."""
    dtype = torch.float16 if half else torch.float32
    tensors = _cast(weights.networks.state_dict(), dtype)
    if weights.identity is not None:
        # An identity is one vector: full precision costs nothing.
        tensors[_IDENTITY_Z] = torch.from_numpy(weights.identity.z).float()
        if weights.identity.layer_offsets is not None:
            tensors[_IDENTITY_OFFSETS] = torch.from_numpy(weights.identity.layer_offsets).float()
    if weights.image_encoder is not None:
        own = _cast(weights.image_encoder.state_dict(), dtype)
        tensors |= {f"{_IMAGE_ENCODER}{name}": tensor for name, tensor in own.items()}
    return tensors


def _cast(tensors: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    return {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def load_face_weights(path: Path) -> FaceWeights:
    """Read a face model.

    Args:
        path: its folder, or the configuration file in it.

    Returns:
        networks in eval mode on the CPU in float32, gradients off.

    Raises:
        WeightsError: missing or damaged; the message names the file and the fix.
        CheckpointMismatchError: made by another code version or with other sizes.
    """
    config_path = path / CONFIG_NAME if path.is_dir() else path
    config = read_weights_config(config_path)
    try:
        generator = GeneratorConfig(**config["generator"])
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{config_path}: sizes are not understood ({error})") from None
    tables = StyleTables.from_json(json.dumps(config["style_tables"]))
    tensors = read_shards(config_path.parent, config["shards"], "download or copy it again")
    identity = _take_identity(tensors, generator, config_path)
    image_encoder = _take_image_encoder(tensors, generator, config_path)
    settings = _style_settings(config, config_path)
    with torch.device("meta"):
        # Sizes are an untrusted file's: nothing is allocated for them until the tensors are there that fill it.
        check_tensors(FaceNetworks(generator, settings), tensors, str(config_path), _FAILED_RUN)
    networks = FaceNetworks(generator, settings)
    fill_module(networks, tensors, str(config_path), _FAILED_RUN)
    return FaceWeights(
        name=config["name"],
        networks=networks.eval().requires_grad_(False),
        tables=tables,
        identity=identity,
        image_encoder=image_encoder,
        notes=config["notes"],
        trained_against=_trained_against(config, config_path),
        sha256=_digest(config),
    )


def read_weights_config(path: Path) -> dict[str, Any]:
    """The configuration of a face model, its structure checked, its shards not yet touched.

    Raises:
        WeightsError, CheckpointMismatchError: as `load_face_weights`.
    """
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise WeightsError(f"{path}: over {MAX_CONFIG_BYTES} bytes, not a weights configuration")
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WeightsError(f"{path}: cannot read the weights ({error.strerror}); check the path") from None
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: damaged weights configuration ({error}); download or copy it again") from None
    if not isinstance(config, dict) or config.get("format") != WEIGHTS_FORMAT:
        raise WeightsError(f"{path}: not the configuration of a face model")
    if config.get("code_version") != CODE_VERSION:
        raise CheckpointMismatchError(f"{path}: code version", CODE_VERSION, config.get("code_version"))
    kinds = {"name": str, "generator": dict, "style_tables": dict, "notes": dict, "shards": list}
    for key, kind in kinds.items():
        if not isinstance(config.get(key), kind):
            raise WeightsError(f"{path}: field {key!r} is missing or not a {kind.__name__}")
    if not 1 <= len(config["shards"]) <= MAX_SHARDS:
        raise WeightsError(f"{path}: {len(config['shards'])} shards, must be 1..{MAX_SHARDS}")
    if config.get(_SEAL, digest := _digest(config)) != digest:
        raise WeightsError(f"{path}: damaged or changed, its sha256 is not the one it holds; download or copy it again")
    return config


def _trained_against(config: dict[str, Any], path: Path) -> tuple[str, ...]:
    """Networks that were losses; weights that do not say are older than the judges that ship.

    Raises:
        WeightsError: not a list of names.
    """
    names = config.get(_TRAINED_AGAINST, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise WeightsError(f"{path}: field {_TRAINED_AGAINST!r} is not a list of names")
    return tuple(names)


def weights_sha256(path: Path) -> str:
    """The digest that names a face model, from its configuration file alone; the shards are not touched.

    Raises:
        WeightsError, CheckpointMismatchError: as `load_face_weights`.
    """
    return _digest(read_weights_config(path))


def _style_settings(config: dict[str, Any], path: Path) -> StyleSettings:
    """How E_style looks at frames, from a weights configuration; weights that do not say so are of the default.

    Raises:
        WeightsError: another field or value than this version knows.
    """
    if _STYLE_SETTINGS not in config:
        return DEFAULT_STYLE_SETTINGS
    stored = config[_STYLE_SETTINGS]
    names = {f.name for f in fields(StyleSettings)}
    if not isinstance(stored, dict) or set(stored) != names or not all(type(v) is bool for v in stored.values()):
        raise WeightsError(
            f"{path}: {_STYLE_SETTINGS} must hold true or false for each of {', '.join(sorted(names))}; "
            "install the version of talkface that made these weights"
        )
    return StyleSettings(**stored)


def _digest(config: dict[str, Any]) -> str:
    """Names the model in the handshake: the configuration holds the hash of every shard."""
    config = {name: value for name, value in config.items() if name != _SEAL}
    return hashlib.sha256(json.dumps(config, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _take_identity(tensors: dict[str, Tensor], config: GeneratorConfig, path: Path) -> FaceIdentity | None:
    z = tensors.pop(_IDENTITY_Z, None)
    offsets = tensors.pop(_IDENTITY_OFFSETS, None)
    if z is None:
        return None
    if z.shape != (config.latent_dim,):
        raise CheckpointMismatchError(f"{path}: identity", [config.latent_dim], list(z.shape))
    if offsets is not None and offsets.shape != (config.num_layers, config.latent_dim):
        raise CheckpointMismatchError(
            f"{path}: identity offsets", [config.num_layers, config.latent_dim], list(offsets.shape)
        )
    return FaceIdentity(_as_array(z), None if offsets is None else _as_array(offsets))


def _take_image_encoder(tensors: dict[str, Tensor], config: GeneratorConfig, path: Path) -> ImageEncoder | None:
    own = {n: tensors.pop(n) for n in list(tensors) if n.startswith(_IMAGE_ENCODER)}
    if not own:
        return None
    with_offsets = any(name.startswith(f"{_IMAGE_ENCODER}head.") for name in own)
    own = {name.removeprefix(_IMAGE_ENCODER): tensor for name, tensor in own.items()}
    num_layers = config.num_layers if with_offsets else 0
    with torch.device("meta"):
        check_tensors(ImageEncoder(config.latent_dim, num_layers=num_layers), own, str(path), _FAILED_RUN)
    encoder = ImageEncoder(config.latent_dim, num_layers=num_layers)
    fill_module(encoder, own, str(path), _FAILED_RUN)
    return encoder.eval().requires_grad_(False)


def _as_array(tensor: Tensor) -> np.ndarray[Any, np.dtype[np.float32]]:
    return tensor.float().numpy()
