"""Small safetensors files that hold their own sha256, so that a flipped bit is not taken for a number.

The hash, in the metadata, is over names, types, shapes and bytes of the arrays and over the rest of the metadata. Files
from before there was one have none, and are read without it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

SEAL = "sha256"
Arrays = Mapping[str, NDArray[Any]]


def sealed_bytes(arrays: Arrays, metadata: Mapping[str, str]) -> bytes:
    """The content of a file."""
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return save_arrays(whole, metadata={**metadata, SEAL: _digest(whole, metadata)})


def read_sealed(content: bytes) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Arrays and metadata of a file.

    Raises:
        ValueError: not safetensors, or not what was written.
    """
    try:
        arrays = load_arrays(content)
    except SafetensorError as error:
        raise ValueError(str(error)) from None
    # The bytes have been parsed once, so the length of the header is known good.
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    metadata = {str(k): str(v) for k, v in header.get("__metadata__", {}).items()}
    seal = metadata.pop(SEAL, None)
    if seal is not None and seal != _digest(arrays, metadata):
        raise ValueError("its sha256 is not the one it holds")
    return arrays, metadata


def _digest(arrays: Arrays, metadata: Mapping[str, str]) -> str:
    shapes = [(name, array.dtype.str, list(array.shape)) for name, array in sorted(arrays.items())]
    sha256 = hashlib.sha256(json.dumps([sorted(metadata.items()), shapes]).encode())
    for _, array in sorted(arrays.items()):
        sha256.update(array.tobytes())
    return sha256.hexdigest()
