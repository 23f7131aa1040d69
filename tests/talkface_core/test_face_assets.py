"""Small weights files: what is saved loads, and what is damaged or foreign is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from talkface_core.errors import CheckpointMismatchError, WeightsError
from talkface_core.face_assets import load_asset, save_asset

TENSORS = {"a.weight": torch.linspace(-1, 1, 12).view(3, 4), "a.count": torch.tensor(7)}


def saved(folder: Path) -> Path:
    path = folder / "thing.safetensors"
    save_asset(path, TENSORS, kind="thing", code_version=2, config={"width": 4})
    return path


def test_round_trip(tmp_path: Path) -> None:
    config, tensors = load_asset(str(saved(tmp_path)), kind="thing", code_version=2)
    assert config == {"width": 4}
    assert tensors["a.weight"].dtype == torch.float32
    torch.testing.assert_close(tensors["a.weight"], TENSORS["a.weight"], atol=1e-3, rtol=0)
    assert int(tensors["a.count"]) == 7


def test_missing_file_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"nothing\.safetensors cannot be read"):
        load_asset(str(tmp_path / "nothing.safetensors"), kind="thing", code_version=2)


def test_one_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = saved(tmp_path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(WeightsError, match="damaged"):
        load_asset(str(path), kind="thing", code_version=2)


def test_other_kind_version_and_garbage(tmp_path: Path) -> None:
    path = saved(tmp_path)
    with pytest.raises(WeightsError, match="'thing' weights, wanted 'face'"):
        load_asset(str(path), kind="face", code_version=2)
    with pytest.raises(CheckpointMismatchError, match="expected 3, got 2"):
        load_asset(str(path), kind="thing", code_version=3)
    garbage = tmp_path / "garbage.safetensors"
    garbage.write_bytes(b"\x80\x04 not weights")
    with pytest.raises(WeightsError, match="not a thing weights file"):
        load_asset(str(garbage), kind="thing", code_version=2)


def test_broken_digest_file(tmp_path: Path) -> None:
    path = saved(tmp_path)
    path.with_suffix(".json").write_text("{}")
    with pytest.raises(WeightsError, match="sha256"):
        load_asset(str(path), kind="thing", code_version=2)
