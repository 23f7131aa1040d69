"""Bytes on the wire do not change by accident: every example equals its file. GENERATE_EXPECTED=1 writes them anew."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def test_golden_file_and_example_agree(example_name: str, example: Any, golden_folder: Path) -> None:
    path = golden_folder / f"{example_name}.bin"
    if os.environ.get("GENERATE_EXPECTED"):
        path.write_bytes(example.data)
    golden = path.read_bytes()
    assert example.data == golden
    assert example.read(golden) == example.value


def test_every_golden_file_is_used(examples: dict[str, Any], golden_folder: Path) -> None:
    assert {path.stem for path in golden_folder.glob("*.bin")} == set(examples)
