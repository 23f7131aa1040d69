"""Dataclasses go through JSON unchanged, and whatever does not fit is named."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from talkface.typed_json import TypedJsonError, from_json, to_json


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Part:
    size: float
    name: str | None = None


@dataclass(frozen=True)
class Whole:
    count: int
    is_on: bool
    colour: Colour
    path: Path
    pair: tuple[int, str]
    parts: tuple[Part, ...]
    by_name: dict[str, Part]
    maybe: Part | None


WHOLE = Whole(
    count=3,
    is_on=True,
    colour=Colour.RED,
    path=Path("a/b"),
    pair=(1, "x"),
    parts=(Part(0.5), Part(2.0, "two")),
    by_name={"one": Part(1.0)},
    maybe=None,
)


def test_a_value_reads_back_equal() -> None:
    assert from_json(Whole, json.loads(json.dumps(to_json(WHOLE))), "whole") == WHOLE


def test_a_whole_number_is_a_number() -> None:
    assert from_json(Part, {"size": 1, "name": None}, "part") == Part(1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 1.5}, "whole.count is 1.5, not of type int"),
        ({"count": True}, "whole.count is True, not of type int"),
        ({"is_on": 1}, "whole.is_on is 1, not of type bool"),
        ({"count": None}, "whole.count must not be null"),
        ({"colour": "blue"}, "whole.colour is 'blue', which Colour does not know"),
        ({"path": 3}, "whole.path is 3, not of type Path"),
        ({"pair": [1]}, "whole.pair holds 1 values, not 2"),
        ({"pair": "ab"}, "whole.pair is not a list"),
        ({"parts": [{"size": 1.0, "name": 5}]}, r"whole.parts\[0\].name is 5, not of type str"),
        ({"by_name": {"one": {"size": 1.0}}}, "whole.by_name.one: name is missing"),
        ({"by_name": []}, "whole.by_name is not an object"),
        ({"maybe": {"size": 1.0, "name": None, "more": 1}}, "whole.maybe: more is unknown"),
        ({"maybe": 7}, "whole.maybe is not an object"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(TypedJsonError, match=message):
        from_json(Whole, {**to_json(WHOLE), **change}, "whole")


def test_what_has_no_json_is_refused() -> None:
    with pytest.raises(TypeError, match="set has no JSON"):
        to_json(Part(size=1.0, name={"x"}))  # type: ignore[arg-type]
