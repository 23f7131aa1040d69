"""A run that did not take place, for what is done with one."""

from __future__ import annotations

import pytest

from benchmarks.benchmark import QUICK
from benchmarks.machine import Machine
from benchmarks.measurement import Skip, Unit, measured
from benchmarks.performance import Performance, SubjectResult


@pytest.fixture
def performance() -> Performance:
    machine = Machine(
        cpu="Some CPU",
        cores=2,
        memory_gb=8.0,
        os="Some System",
        instruction_sets=("AVX2",),
        openvino_types=(),
        gpu=None,
        load=0.25,
        versions={"torch": "2.11.0"},
    )
    drawing = SubjectResult(
        name="drawing",
        title="Drawing a frame",
        seconds=1.5,
        measurements=(
            measured("one frame", [80.0, 90.0], Unit.MILLISECONDS, {"runtime": "torch", "threads": 1}, ratio=1.0),
            measured("one frame", [8.0], Unit.MILLISECONDS, {"runtime": "openvino", "threads": 1}, ratio=0.1),
            measured("likeness", [54.0], Unit.DECIBELS, {"runtime": "openvino"}),
        ),
        skipped=(Skip(name="torch-cuda", reason="no CUDA device"),),
    )
    buffer = SubjectResult(
        name="jitter_buffer",
        title="Jitter buffer",
        seconds=0.5,
        measurements=(measured("in and out", [123_456.0], Unit.PACKETS_PER_SECOND),),
        skipped=(),
    )
    return Performance(
        date="2026-01-02T03:04:05Z", commit="abc1234", machine=machine, settings=QUICK, subjects=(drawing, buffer)
    )
