"""Reading and writing the small weights that ship inside a package: landmarks, face finder, judges; the lip expert.

One safetensors file per network (fp16 as a rule; the header's metadata holds kind, code version and config as JSON)
and beside it a JSON file with the sha256 that the loader checks. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_bytes
from torch import Tensor

from talkface_core.errors import CheckpointMismatchError, WeightsError
from talkface_core.whole_file import write_whole

ASSET_FOLDER = Path(__file__).resolve().parent / "assets"
MAX_ASSET_BYTES = 16 * 2**20
"""A larger file is not one of ours."""


def asset_path(name_or_path: str, folder: Path = ASSET_FOLDER) -> Path:
    """A bare name is an asset that ships in `folder`; anything with a suffix or a separator is a file."""
    path = Path(name_or_path)
    return path if path.suffix or len(path.parts) > 1 else folder / f"{name_or_path}.safetensors"


def save_asset(
    path: Path,
    tensors: Mapping[str, Tensor],
    *,
    kind: str,
    code_version: int,
    config: Mapping[str, Any],
    halve: bool = True,
) -> str:
    """Write weights with their config, and the sha256 beside them; returns the sha256.

    Args:
        halve: store as fp16; False keeps every tensor bit for bit.
    """
    # Half floats halve the file; counters stay integers.
    small = {k: (v.half() if halve and v.is_floating_point() else v).contiguous().cpu() for k, v in tensors.items()}
    metadata = {"kind": kind, "code_version": str(code_version), "config": json.dumps(dict(config), sort_keys=True)}
    data = save_bytes(small, metadata)
    digest = hashlib.sha256(data).hexdigest()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, data)
    info = {"kind": kind, "code_version": code_version, "config": dict(config), "sha256": digest, "bytes": len(data)}
    write_whole(path.with_suffix(".json"), (json.dumps(info, indent=2, sort_keys=True) + "\n").encode())
    return digest


def load_asset(
    name_or_path: str, *, kind: str, code_version: int, folder: Path = ASSET_FOLDER
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Config and float32 tensors of a weights file; a bare name is looked up in `folder`.

    Raises:
        WeightsError: missing, damaged, or of another kind; the message names the file and the fix.
        CheckpointMismatchError: made by another code version.
    """
    path = asset_path(name_or_path, folder)
    try:
        if path.stat().st_size > MAX_ASSET_BYTES:
            raise WeightsError(f"{path} is larger than {MAX_ASSET_BYTES} bytes: not a {kind} file")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise WeightsError(f"{kind} weights {path} cannot be read ({error.strerror}); reinstall talkface") from error
    info_path = path.with_suffix(".json")
    if info_path.exists():
        expected = _expected_digest(info_path)
        if expected != digest:
            raise WeightsError(f"{path} is damaged: sha256 {digest[:12]}, expected {expected[:12]}; reinstall talkface")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
        config = json.loads(metadata["config"])
        got_kind, got_version = metadata["kind"], int(metadata["code_version"])
    except (SafetensorError, KeyError, ValueError) as error:
        raise WeightsError(f"{path} is not a {kind} weights file: {error}") from error
    if got_kind != kind:
        raise WeightsError(f"{path} holds {got_kind!r} weights, wanted {kind!r}")
    if got_version != code_version:
        raise CheckpointMismatchError(f"{path} code version", code_version, got_version)
    return config, {k: v.float() if v.dtype == torch.float16 else v for k, v in tensors.items()}


def _expected_digest(info_path: Path) -> str:
    try:
        return str(json.loads(info_path.read_text())["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{info_path} does not hold a sha256: {error}; reinstall talkface") from error
