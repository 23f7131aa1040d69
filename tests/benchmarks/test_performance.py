"""`performance.json` is strict JSON that reads back equal, and the page shows what it holds."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.__main__ import JSON_PATH, TABLE_PATH
from benchmarks.performance import Performance, performance_from_json
from benchmarks.registry import BENCHMARKS
from benchmarks.table import with_numbers
from talkface.typed_json import TypedJsonError


def refuse_constant(name: str) -> Any:
    raise AssertionError(f"{name} is no JSON")


def test_it_reads_back_equal(performance: Performance) -> None:
    text = performance.to_json()
    json.loads(text, parse_constant=refuse_constant)
    assert performance_from_json(text) == performance


def test_what_is_not_a_number_is_refused(performance: Performance) -> None:
    broken = replace(performance, machine=replace(performance.machine, load=float("nan")))
    with pytest.raises(ValueError, match="not JSON compliant"):
        broken.to_json()


@pytest.mark.parametrize("text", ["[]", "{}", '{"performance_version": 7}'])
def test_another_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="this program reads 1"):
        performance_from_json(text)


def test_a_name_that_is_missing_is_said(performance: Performance) -> None:
    data = json.loads(performance.to_json())
    del data["subjects"][0]["measurements"][0]["unit"]
    with pytest.raises(TypedJsonError, match=r"performance\.subjects\[0\]\.measurements\[0\]: unit is missing"):
        performance_from_json(json.dumps(data))


def test_the_page_shows_the_numbers_of_the_file() -> None:
    page = TABLE_PATH.read_text()
    assert with_numbers(page, performance_from_json(JSON_PATH.read_text())) == page


def test_the_file_holds_every_subject() -> None:
    subjects = performance_from_json(JSON_PATH.read_text()).subjects
    assert [subject.name for subject in subjects] == [benchmark.name for benchmark in BENCHMARKS]
    assert all(subject.measurements for subject in subjects)
