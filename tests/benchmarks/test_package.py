"""The benchmarks stand beside the program: it does not know them, and the wheel leaves them out."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from setuptools import find_packages

ROOT = Path(__file__).resolve().parents[2]


def test_the_wheel_leaves_them_out() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["packages"]["find"]["include"]
    packages = find_packages(str(ROOT), include=patterns)
    assert {"protocol", "talkface"} <= set(packages)
    assert [name for name in packages if name.startswith("benchmarks")] == []


def test_the_program_does_not_import_them() -> None:
    packages = ("protocol", "sender", "receiver", "talkface_core", "training", "talkface")
    files = [path for package in packages for path in (ROOT / package).rglob("*.py")]
    assert len(files) > 200
    assert [
        path for path in files if re.search(r"^\s*(from|import) benchmarks\b", path.read_text(), re.MULTILINE)
    ] == []
