"""Tensors as bytes for an identity file: 8 bits a value, low rank where that is smaller (docs/protocol.md section 5).

What tuning adds to an affine is close to low rank: its gradients are sums of few outer products, because the latents of
one person differ little. So a matrix is stored as whichever is shorter: int8 rows, each with a scale, or the sum of a
few products of two int8 vectors, each with a scale.

    1  version, 1        then per tensor, names ascending:
    2  number of tensors     1  length of the name    n  name, ASCII    2  rank, 0: rows
                             rows: 4 x R float32 scales, R x C int8
                             rank: 4 x K float32 scales, K x R int8, K x C int8

Integers big-endian, floats little-endian. R is a tensor's first dimension (1 for vectors), C the product of the others.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from talkface_core.errors import TunedPartError

Shape = tuple[int, ...]
Array = NDArray[np.float32]
PACKED_VERSION = 1
MAX_TENSORS = 512
MAX_VALUE = 100.0
"""Differences are far below 1; beyond this a generator would only break."""
DEFAULT_TOLERANCE = 0.05
"""Share of a matrix's energy that its low rank may leave out: drawings are 58 dB from the exact ones."""
_STEPS = 127
_START = struct.Struct(">BH")
_RANK = struct.Struct(">H")


def pack_tensors(tensors: Mapping[str, Array], *, tolerance: float = DEFAULT_TOLERANCE) -> bytes:
    """Tensors to bytes.

    Args:
        tensors: finite, by names of 1..255 ASCII characters.
        tolerance: share of a matrix's energy that its low rank may leave out; 0 stores rows always.

    Raises:
        ValueError: there are none or too many, or a value is not finite or over `MAX_VALUE`.
    """
    if not 1 <= len(tensors) <= MAX_TENSORS:
        raise ValueError(f"{len(tensors)} tensors cannot be packed, 1..{MAX_TENSORS} can")
    parts = [_START.pack(PACKED_VERSION, len(tensors))]
    for name, tensor in sorted(tensors.items()):
        if not np.abs(tensor).max(initial=0) <= MAX_VALUE:  # NaN fails the comparison
            raise ValueError(f"tensor {name} holds a value outside +-{MAX_VALUE:g}")
        matrix = tensor.reshape(_rows_and_columns(tensor.shape)).astype(np.float64)
        parts += [bytes([len(name)]), name.encode("ascii"), _pack_matrix(matrix, tolerance)]
    return b"".join(parts)


def unpack_tensors(data: bytes, shapes: Mapping[str, Shape]) -> dict[str, Array]:
    """What `pack_tensors` wrote, from anybody.

    Args:
        shapes: of the tensors that may occur, by name; nothing larger than these is allocated.

    Raises:
        TunedPartError: the bytes are not packed tensors of these names and shapes.
    """
    reader = _Reader(data)
    version, count = _START.unpack(reader.take(_START.size))
    if version != PACKED_VERSION:
        raise TunedPartError(f"packed tensors: version {version} is unknown, this program reads {PACKED_VERSION}")
    found: dict[str, Array] = {}
    last = ""
    for _ in range(count):
        name = reader.take(reader.take(1)[0]).decode("ascii", errors="replace")
        if name not in shapes:
            raise TunedPartError(f"packed tensors: these weights have no tensor {name!r}")
        if name <= last:
            raise TunedPartError(f"packed tensors: {name} after {last}, names must ascend")
        last = name
        found[name] = _read_matrix(reader, name, *_rows_and_columns(shapes[name])).reshape(shapes[name])
    if not found or not reader.is_at_end:
        raise TunedPartError("packed tensors: bytes after the end" if found else "packed tensors: there are none")
    return found


class _Reader:
    """Bytes one after the other; never more than there are."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        return self._at == len(self._data)

    def take(self, count: int) -> bytes:
        if count > len(self._data) - self._at:
            raise TunedPartError(f"packed tensors: {len(self._data)} bytes end before their content: truncated")
        self._at += count
        return self._data[self._at - count : self._at]

    def scales(self, name: str, count: int) -> NDArray[np.float64]:
        values = np.frombuffer(self.take(4 * count), dtype="<f4").astype(np.float64)
        if not ((values >= 0) & (values <= MAX_VALUE)).all():
            raise TunedPartError(f"packed tensors: {name} has a scale outside 0..{MAX_VALUE:g}")
        return values

    def steps(self, name: str, *shape: int) -> NDArray[np.float64]:
        values = np.frombuffer(self.take(math.prod(shape)), dtype=np.int8).reshape(shape)
        if (values < -_STEPS).any():
            raise TunedPartError(f"packed tensors: {name} holds -128, which no writer makes")
        return values.astype(np.float64)


def _rows_and_columns(shape: Shape) -> tuple[int, int]:
    rows = shape[0] if len(shape) > 1 else 1
    return rows, math.prod(shape) // rows


def _pack_matrix(matrix: NDArray[np.float64], tolerance: float) -> bytes:
    rows, columns = matrix.shape
    dense = 4 * rows + rows * columns
    if tolerance > 0 and min(rows, columns) > 1:
        left, sizes, right = np.linalg.svd(matrix, full_matrices=False)
        left_out = np.append(np.cumsum(sizes[::-1] ** 2)[::-1], 0.0)  # [k]: energy beyond rank k
        rank = max(1, int(np.argmax(left_out <= tolerance * left_out[0])))
        if rank * (4 + rows + columns) < dense:
            return _pack_products(left[:, :rank].T * sizes[:rank, None], right[:rank])
    scales, steps = _quantise(matrix)
    return _RANK.pack(0) + scales.astype("<f4").tobytes() + steps.tobytes()


def _pack_products(left: NDArray[np.float64], right: NDArray[np.float64]) -> bytes:
    """[K, R] and [K, C]: the sum over k of left[k] (x) right[k]."""
    left_scales, left_steps = _quantise(left)
    right_scales, right_steps = _quantise(right)
    scales = (left_scales * right_scales).astype("<f4")
    return _RANK.pack(len(left)) + scales.tobytes() + left_steps.tobytes() + right_steps.tobytes()


def _quantise(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Scale per row, exact in float32, and int8 steps of it."""
    scales = (np.abs(rows).max(axis=1) / _STEPS).astype(np.float32).astype(np.float64)
    safe = np.where(scales > 0, scales, 1.0)
    steps = np.clip(np.rint(rows / safe[:, None]), -_STEPS, _STEPS).astype(np.int8)
    return scales, steps


def _read_matrix(reader: _Reader, name: str, rows: int, columns: int) -> Array:
    rank: int = _RANK.unpack(reader.take(_RANK.size))[0]
    if rank > min(rows, columns):
        raise TunedPartError(f"packed tensors: {name} has rank {rank}, at most {min(rows, columns)}")
    scales = reader.scales(name, rank or rows)
    if rank:
        left, right = reader.steps(name, rank, rows), reader.steps(name, rank, columns)
        matrix = (left * scales[:, None]).T @ right
    else:
        matrix = reader.steps(name, rows, columns) * scales[:, None]
    if not np.abs(matrix).max() <= MAX_VALUE:
        raise TunedPartError(f"packed tensors: {name} holds a value outside +-{MAX_VALUE:g}")
    return matrix.astype(np.float32)
