"""Checkpoints from outside: damaged, hostile, of another version; and the last good one survives whatever happens."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from talkface_core.errors import CheckpointMismatchError, WeightsError
from talkface_core.tensor_shards import SHARD_BYTES
from training.checkpoint import (
    Checkpoint,
    CheckpointWriteError,
    checkpoint_meta,
    latest_checkpoint,
    load_checkpoint,
    save_checkpoint,
)

MODEL = {"latent_dim": 8}


def checkpoint(seed: int = 0, size: int = 10) -> Checkpoint:
    rng = torch.Generator().manual_seed(seed)
    tensors = {"networks/a": torch.randn(size, size, generator=rng), "adam_g/a/step": torch.tensor(3.0)}
    return Checkpoint(tensors, {"step": seed, "model": MODEL})


def test_round_trip_is_exact_and_old_ones_go(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step, checkpoint(step), keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step_00000002", "step_00000003"]
    latest = latest_checkpoint(tmp_path)
    assert latest is not None
    loaded = load_checkpoint(latest, MODEL)
    assert loaded.meta["step"] == 3
    for name, tensor in checkpoint(3).tensors.items():
        assert torch.equal(loaded.tensors[name], tensor)


def test_a_checkpoint_from_before_a_field_was_made_with_its_first_value(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, checkpoint(1), keep=1)
    path = latest_checkpoint(tmp_path)
    assert path is not None
    assert load_checkpoint(path, {**MODEL, "discriminator": "stylegan2"}).meta["step"] == 1
    with pytest.raises(CheckpointMismatchError, match=r"model\.discriminator.*projected"):
        load_checkpoint(path, {**MODEL, "discriminator": "projected"})
    assert checkpoint_meta(path)["step"] == 1


def test_shards_stay_below_their_limit(tmp_path: Path) -> None:
    tensors = {f"networks/{i}": torch.zeros(1000, 1000) for i in range(9)}
    path = save_checkpoint(tmp_path, 1, Checkpoint(tensors, {"model": MODEL}), keep=1)
    sizes = [p.stat().st_size for p in path.glob("*.safetensors")]
    assert len(sizes) == 3
    assert max(sizes) <= SHARD_BYTES
    assert len(load_checkpoint(path).tensors) == 9
    half = save_checkpoint(tmp_path, 2, Checkpoint(tensors, {"model": MODEL}), keep=1, half=True)
    assert sum(p.stat().st_size for p in half.glob("*.safetensors")) < sum(sizes) * 0.51


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = save_checkpoint(tmp_path, 1, checkpoint(1), keep=1)

    def full(self: Path, *_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        with pytest.raises(CheckpointWriteError, match=r"No space left on device.*last good one is step_00000001"):
            save_checkpoint(tmp_path, 2, checkpoint(2), keep=1)
    assert load_checkpoint(good).meta["step"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["step_00000001"]


@pytest.mark.parametrize(("value", "half"), [(float("nan"), False), (float("-inf"), True), (1e6, True)])
def test_what_is_not_finite_as_stored_is_not_written(tmp_path: Path, value: float, half: bool) -> None:
    good = save_checkpoint(tmp_path, 1, checkpoint(1), keep=1)
    bad = Checkpoint({**checkpoint(2).tensors, "ema/b": torch.tensor([1.0, value])}, {"step": 2, "model": MODEL})
    with pytest.raises(CheckpointWriteError, match=r"step 2 .* ema/b holds NaN or infinity; .* is step_00000001"):
        save_checkpoint(tmp_path, 2, bad, keep=1, half=half)
    assert [p.name for p in tmp_path.iterdir()] == [good.name]


def test_an_unfinished_checkpoint_is_not_taken(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, checkpoint(1), keep=3)
    (tmp_path / ".partial_00000002").mkdir()
    (tmp_path / "step_00000003").mkdir()  # no index: cut off while it was copied
    latest = latest_checkpoint(tmp_path)
    assert latest is not None
    assert latest.name == "step_00000001"


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('code from the file ran')",)


def test_pickles_and_other_files_are_refused_without_running_anything(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 1, checkpoint(1), keep=1)
    shard = next(path.glob("*.safetensors"))
    shard.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(WeightsError, match="damaged"):
        load_checkpoint(path)
    import hashlib

    index = json.loads((path / "index.json").read_text())
    index["shards"][0]["sha256"] = hashlib.sha256(shard.read_bytes()).hexdigest()
    (path / "index.json").write_text(json.dumps(index))
    with pytest.raises(WeightsError, match="not a safetensors file"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"version": 99}, CheckpointMismatchError, "format version: expected 1, got 99"),
        ({"shards": [{"name": "../../etc/passwd", "sha256": ""}]}, WeightsError, "not a plain"),
        ({"shards": [7]}, WeightsError, "None is not a plain"),
        ({"meta": 3}, WeightsError, "not a checkpoint index"),
        ({"meta": {"model": {"latent_dim": 9}}}, CheckpointMismatchError, r"model\.latent_dim: expected 8, got 9"),
        ({"meta": {}}, WeightsError, "does not say which model"),
    ],
)
def test_hostile_indexes_are_refused(
    tmp_path: Path, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    path = save_checkpoint(tmp_path, 1, checkpoint(1), keep=1)
    index = json.loads((path / "index.json").read_text())
    (path / "index.json").write_text(json.dumps({**index, **change}))
    with pytest.raises(error, match=message):
        load_checkpoint(path, MODEL)


@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b"\xff\xfe", b'{"version": 1}', b"[]"])
def test_damaged_indexes_are_refused(tmp_path: Path, content: bytes) -> None:
    path = save_checkpoint(tmp_path, 1, checkpoint(1), keep=1)
    (path / "index.json").write_bytes(content)
    with pytest.raises(WeightsError, match="index"):
        load_checkpoint(path)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 1, checkpoint(1), keep=1)
    next(path.glob("*.safetensors")).unlink()
    with pytest.raises(WeightsError, match=r"shard_000\.safetensors: cannot be read"):
        load_checkpoint(path)
