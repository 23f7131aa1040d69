"""Files that know their own hash."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save

from talkface_core.sealed_arrays import read_sealed, sealed_bytes

ARRAYS = {"values": np.arange(12, dtype=np.float32).reshape(3, 4), "other": np.ones(2, np.int64)}
METADATA = {"format": "a test", "frame_rate": "25/1"}


def test_what_was_written_is_read() -> None:
    arrays, metadata = read_sealed(sealed_bytes(ARRAYS, METADATA))
    assert metadata == METADATA
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


def test_every_flipped_bit_of_the_numbers_is_seen() -> None:
    content = sealed_bytes(ARRAYS, METADATA)
    start = 8 + int.from_bytes(content[:8], "little")
    for at in range(start, len(content)):
        damaged = bytearray(content)
        damaged[at] ^= 0x10
        with pytest.raises(ValueError, match="its sha256 is not"):
            read_sealed(bytes(damaged))


def test_a_changed_word_of_the_metadata_is_seen() -> None:
    content = sealed_bytes(ARRAYS, METADATA).replace(b"25/1", b"26/1")
    with pytest.raises(ValueError, match="its sha256 is not"):
        read_sealed(content)


def test_a_file_from_before_there_was_a_hash_is_read() -> None:
    arrays, metadata = read_sealed(save({"values": ARRAYS["values"]}, metadata=METADATA))
    assert metadata == METADATA
    np.testing.assert_array_equal(arrays["values"], ARRAYS["values"])


@pytest.mark.parametrize("content", [b"", b"x", b"\xff" * 20, sealed_bytes(ARRAYS, METADATA)[:-5]])
def test_what_is_no_such_file_is_said(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_sealed(content)
