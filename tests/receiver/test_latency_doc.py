"""docs/latency.md says what the code does."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

DOC = Path(__file__).resolve().parents[2] / "docs" / "latency.md"
ROW = re.compile(r"^\|[^|]*\| `(?P<module>[\w.]+)\.(?P<name>[A-Z]\w+)(?P<rest>[^`]*)` \| (?P<value>\d+) \|")
ROWS = [match for line in DOC.read_text().splitlines() if (match := ROW.match(line))]


def test_every_constant_has_its_row() -> None:
    assert len(ROWS) == sum("| `" in line for line in DOC.read_text().splitlines()) >= 20


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row["name"]))
def test_number_is_the_codes(row: re.Match[str]) -> None:
    value = getattr(importlib.import_module(row["module"]), row["name"])
    if row["rest"]:
        assert row["rest"] == "['default'].packet_ms"
        value = value["default"].packet_ms
    assert value == int(row["value"])
