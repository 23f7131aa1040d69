"""Tensors in shards: bounded, verified; names from an index cannot leave the folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from talkface_core.errors import WeightsError
from talkface_core.tensor_shards import read_shards, write_shards


def write(folder: Path, tensors: dict[str, Tensor], shard_bytes: int) -> list[dict[str, Any]]:
    shards = write_shards(
        folder, tensors.items(), lambda k, digest: f"{k}-{digest[:4]}.safetensors", shard_bytes=shard_bytes
    )
    return [{"name": s.name, "sha256": s.sha256, "bytes": s.num_bytes} for s in shards]


def test_tensors_come_back_from_shards_below_the_limit(tmp_path: Path) -> None:
    tensors = {f"t{i}": torch.full((100,), float(i)) for i in range(7)} | {"large": torch.zeros(1000)}
    listed = write(tmp_path, tensors, 1200)
    assert [s["name"][0] for s in listed] == ["0", "1", "2", "3", "4"]
    assert all(s["bytes"] <= 1200 for s in listed[:-1])  # the last holds one tensor that is larger
    read = read_shards(tmp_path, listed, "")
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[n], t) for n, t in tensors.items())
    assert len(list(tmp_path.iterdir())) == len(listed)


def test_tensors_that_share_memory_or_have_another_layout_are_written(tmp_path: Path) -> None:
    picture = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    tensors = {"a": picture, "same": picture, "part": picture[1]}
    read = read_shards(tmp_path, write(tmp_path, tensors, 10_000), "")
    assert all(torch.equal(read[n], t) for n, t in tensors.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "../0.safetensors"}, r"shard '\.\./0\.safetensors' is not a plain"),
        ({"name": "index.json"}, "not a plain safetensors file name"),
        ({"name": 3}, "shard 3 is not a plain"),
        ({"name": "none.safetensors"}, r"none\.safetensors: cannot be read .*; copy it again"),
        ({"bytes": 7}, "bytes, expected 7; copy it again"),
        ({"sha256": "0"}, "damaged, its sha256 is not the expected one; copy it again"),
    ],
)
def test_what_does_not_match_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    (listed,) = write(tmp_path, {"a": torch.zeros(3)}, 1000)
    with pytest.raises(WeightsError, match=message):
        read_shards(tmp_path, [{**listed, **change}], "copy it again")
