"""The import arrows of docs/architecture.md hold: read from the code, not from memory."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = {"protocol", "sender", "receiver", "talkface_core", "training", "talkface"}
ALLOWED: dict[str, set[str]] = {
    "protocol": set(),
    "talkface_core": set(),
    "sender": {"protocol", "talkface_core"},
    "receiver": {"protocol", "talkface_core"},
    "training": {"talkface_core"},
    "talkface": {"protocol", "talkface_core", "sender", "receiver", "training"},
}
FORBIDDEN_THIRD_PARTY: dict[str, set[str]] = {
    "protocol": {"torch", "numpy", "av", "aiortc"},
    "talkface_core": {"av", "asyncio", "aiortc"},
    "sender": {"aiortc"},
    "receiver": {"aiortc"},
}


def imported_packages(path: Path) -> set[str]:
    """Top-level names that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", sorted(OURS))
def test_package_imports_only_what_its_layer_allows(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files, f"{package}/ holds no Python file"
    for path in files:
        names = imported_packages(path)
        wrong = (names & OURS) - {package} - ALLOWED[package]
        wrong |= names & FORBIDDEN_THIRD_PARTY.get(package, set())
        assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)}"


@pytest.mark.parametrize("package", sorted(OURS))
def test_package_is_ours(package: str) -> None:
    module = __import__(package)
    assert module.__file__ is not None
    assert Path(module.__file__).resolve().parent == ROOT / package
