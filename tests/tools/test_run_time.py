"""Which packages requirements lead to, over a folder of metadata made for the test."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from run_time import needed, wanted

REQUIRES = {
    "app": ["Lib_One[fast]", "gone; sys_platform == 'plan9'"],
    "lib-one": ["speedup; extra == 'fast'", "pytest; extra == 'test'", "base"],
    "speedup": ["app"],
    "base": [],
    "pytest": [],
}


@pytest.fixture
def folder(tmp_path: Path) -> str:
    for name, requires in REQUIRES.items():
        info = tmp_path / f"{name.replace('-', '_')}-1.dist-info"
        info.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1", *(f"Requires-Dist: {one}" for one in requires)]
        (info / "METADATA").write_text("\n".join(lines) + "\n")
    return str(tmp_path)


def test_extras_and_markers_decide(folder: str) -> None:
    found = needed(wanted(["app"]), [folder])
    assert {name: one.asks_for for name, one in found.items()} == {
        "app": {"lib-one"},
        "lib-one": {"speedup", "base"},
        "speedup": {"app"},
        "base": set(),
    }


def test_what_is_not_installed_is_named(folder: str) -> None:
    with pytest.raises(PackageNotFoundError, match="absent"):
        needed(wanted(["absent"]), [folder])
