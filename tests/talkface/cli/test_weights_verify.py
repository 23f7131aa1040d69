"""`talkface weights verify` sees damage in every file that a call or `edit` takes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from talkface.cli.main import app
from talkface.errors import UserError
from talkface_core.shipped_weights import SHIPPED_WEIGHTS, shipped_weights_folder

ROOT = Path(__file__).parents[3]
FILES = [(name, path.name) for name in SHIPPED_WEIGHTS for path in sorted(shipped_weights_folder(name).iterdir())]
NETWORKS = sorted([*(ROOT / "talkface_core/assets").iterdir(), *(ROOT / "training/assets").iterdir()])


def flip_a_bit(path: Path) -> None:
    """Of the last fifth: numbers in safetensors, a hash or a size in JSON."""
    content = bytearray(path.read_bytes())
    content[len(content) * 4 // 5] ^= 0x04
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("damage", [flip_a_bit, cut_short])
@pytest.mark.parametrize(("name", "file"), FILES)
def test_a_damaged_file_of_a_face_model_is_named(name: str, file: str, damage: object, tmp_path: Path) -> None:
    folder = shutil.copytree(shipped_weights_folder(name), tmp_path / name)
    damage(folder / file)  # type: ignore[operator]
    result = CliRunner().invoke(app, ["weights", "verify", str(folder)])
    assert isinstance(result.exception, UserError), result.output
    assert file in str(result.exception)


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS, ids=lambda path: path.name)
def test_a_damaged_network_of_ours_is_named(network: Path, tmp_path: Path) -> None:
    """In a copy of the program, which has its assets beside its code."""
    for package in ("protocol", "sender", "receiver", "talkface"):
        (tmp_path / package).symlink_to(ROOT / package)
    for package in ("talkface_core", "training"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("weights_*", "__pycache__"))
    copy = tmp_path / network.relative_to(ROOT)
    flip_a_bit(copy) if network.suffix == ".safetensors" else cut_short(copy)
    result = subprocess.run(
        [sys.executable, "-m", "talkface", "weights", "verify"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 1, result.stdout
    assert network.name in result.stderr
    assert "Traceback" not in result.stderr


def test_whole_weights_are_listed_with_their_parts() -> None:
    result = CliRunner().invoke(app, ["weights", "verify", "default"])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0].startswith("default: ok, default, 256 px, sha256 ")
    assert "style track of" in lines[0]
    assert "directions for eyes, head, mouth" in lines[0]
    assert lines[1] == "networks: ok, face finder, landmarks, face recogniser, EfficientNet-Lite0, lip experts"
