"""Packed tensors: near the exact ones, small where rank is low, and nothing of a hostile file comes in."""

from __future__ import annotations

import random
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkface_core.errors import TunedPartError
from talkface_core.identity.packed import pack_tensors, unpack_tensors

SHAPES = {"a.bias": (5,), "a.weight": (6, 8), "b.weight": (3, 4, 1, 1)}


def tensors(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, 0.01, shape).astype(np.float32) for name, shape in SHAPES.items()}


def low_rank(rows: int, columns: int, rank: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    return (rng.normal(size=(rows, rank)) @ rng.normal(size=(rank, columns)) * 0.01).astype(np.float32)


def test_rows_are_within_half_a_step() -> None:
    exact = tensors()
    read = unpack_tensors(pack_tensors(exact, tolerance=0), SHAPES)
    assert list(read) == sorted(SHAPES)
    for name, value in exact.items():
        assert read[name].shape == value.shape
        assert read[name].dtype == np.float32
        rows = value.reshape(1, -1) if value.ndim == 1 else value.reshape(len(value), -1)
        step = np.abs(rows).max(axis=1, keepdims=True) / 127
        assert (np.abs(read[name].reshape(rows.shape) - rows) <= 0.501 * step).all()


def test_packing_what_was_read_gives_the_same_bytes() -> None:
    data = pack_tensors(tensors(), tolerance=0)
    assert pack_tensors(unpack_tensors(data, SHAPES), tolerance=0) == data


def test_low_rank_is_a_fraction_of_the_size() -> None:
    exact = low_rank(256, 512, 3)
    data = pack_tensors({"w": exact}, tolerance=1e-4)
    assert len(data) < 3000 < 256 * 512
    read = unpack_tensors(data, {"w": (256, 512)})["w"]
    assert np.square(read - exact).sum() < 1e-3 * np.square(exact).sum()


def test_tolerance_bounds_what_is_left_out() -> None:
    noisy = low_rank(128, 256, 4) + np.random.default_rng(2).normal(0, 0.002, (128, 256)).astype(np.float32)
    sizes = []
    for tolerance in (0.5, 0.1, 0.02):
        data = pack_tensors({"w": noisy}, tolerance=tolerance)
        read = unpack_tensors(data, {"w": (128, 256)})["w"]
        assert np.square(read - noisy).sum() <= 1.1 * tolerance * np.square(noisy).sum()
        sizes.append(len(data))
    assert sizes == sorted(sizes)


def test_zeros_stay_zeros() -> None:
    exact = {"w": np.zeros((4, 6), np.float32), "v": np.zeros(3, np.float32)}
    read = unpack_tensors(pack_tensors(exact), {"w": (4, 6), "v": (3,)})
    assert not any(value.any() for value in read.values())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "0 tensors cannot be packed"),
        ({f"{i:04}": np.zeros(1, np.float32) for i in range(513)}, "513 tensors cannot be packed"),
        ({"w": np.array([np.nan], np.float32)}, "tensor w holds a value outside"),
        ({"w": np.array([101.0], np.float32)}, "tensor w holds a value outside"),
    ],
)
def test_what_cannot_be_packed(values: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pack_tensors(values)


def entry(name: bytes, rank: int, scales: list[float], steps: bytes) -> bytes:
    return bytes([len(name)]) + name + struct.pack(">H", rank) + struct.pack(f"<{len(scales)}f", *scales) + steps


BIAS = entry(b"a.bias", 0, [0.5], bytes(5))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "truncated"),
        (b"\x02\x00\x01" + BIAS, "version 2 is unknown"),
        (b"\x01\x00\x00", "there are none"),
        (b"\x01\x00\x01" + BIAS + b"\0", "bytes after the end"),
        (b"\x01\xff\xff" + BIAS, "truncated"),
        (b"\x01\x00\x01" + BIAS[:-1], "truncated"),
        (b"\x01\x00\x02" + BIAS + BIAS, "a.bias after a.bias, names must ascend"),
        (b"\x01\x00\x01" + entry(b"conv", 0, [1], bytes(5)), "have no tensor 'conv'"),
        (b"\x01\x00\x01" + entry(b"\xff", 0, [1], bytes(5)), "have no tensor"),
        (b"\x01\x00\x01" + entry(b"a.weight", 7, [1] * 7, bytes(98)), "has rank 7, at most 6"),
        (b"\x01\x00\x01" + entry(b"a.weight", 65535, [], b""), "has rank 65535, at most 6"),
        (b"\x01\x00\x01" + entry(b"a.bias", 0, [float("nan")], bytes(5)), "a scale outside"),
        (b"\x01\x00\x01" + entry(b"a.bias", 0, [float("inf")], bytes(5)), "a scale outside"),
        (b"\x01\x00\x01" + entry(b"a.bias", 0, [-1], bytes(5)), "a scale outside"),
        (b"\x01\x00\x01" + entry(b"a.bias", 0, [1], b"\x7f" * 5), "a.bias holds a value outside"),
        (b"\x01\x00\x01" + entry(b"a.bias", 0, [0.1], b"\x80" * 5), "holds -128"),
        (b"\x01\x00\x01" + entry(b"a.weight", 1, [0.1], b"\x7f" * 14), "a.weight holds a value outside"),
    ],
)
def test_hostile_bytes(data: bytes, message: str) -> None:
    with pytest.raises(TunedPartError, match=message):
        unpack_tensors(data, SHAPES)


def test_every_truncation() -> None:
    data = pack_tensors(tensors())
    for length in range(len(data)):
        with pytest.raises(TunedPartError):
            unpack_tensors(data[:length], SHAPES)


def test_mutations_are_read_or_refused() -> None:
    rng = random.Random(5)
    data = pack_tensors(tensors() | {"a.weight": low_rank(6, 8, 1)})
    refused = 0
    for _ in range(3000):
        damaged = bytearray(data)
        for _ in range(rng.randint(1, 3)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            read = unpack_tensors(bytes(damaged), SHAPES)
        except TunedPartError:
            refused += 1
            continue
        assert all(np.isfinite(value).all() and value.shape == SHAPES[name] for name, value in read.items())
    assert 0 < refused < 3000


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    with pytest.raises(TunedPartError):
        unpack_tensors(b"\x01\x00\x02" + data, SHAPES | {"": (1,)})


def test_a_promise_of_much_costs_no_memory() -> None:
    shapes = {"w": (100_000, 100_000)}
    data = b"\x01\x00\x01" + entry(b"w", 60_000, [0.1] * 10, bytes(1000))
    tracemalloc.start()
    try:
        with pytest.raises(TunedPartError, match="truncated"):
            unpack_tensors(data, shapes)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
