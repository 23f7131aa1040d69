"""Every subject runs and says what its table needs; no time is judged."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from benchmarks.benchmark import Benchmark, Settings
from benchmarks.measurement import Measurement, Skip, Unit
from benchmarks.registry import BENCHMARKS, UnknownBenchmarkError, chosen
from benchmarks.subjects import drawing, jitter_buffer, live_style, startup
from talkface.errors import UserError
from talkface_core.tracking.tracker import FaceTracker

SMALL = Settings(weights=("tiny",), samples=5, starts=1, call_s=3.0)
SLOW = {"drawing", "startup", "call", "live_style"}
"""They load shipped weights, compile for several ways of drawing, or start processes."""
NAMES = {
    "drawing": {"one frame", "likeness to torch-cpu"},
    "startup": {"start to first frame"},
    "call": {
        "both sides started to first frame shown",
        "connected to first frame shown",
        "memory of the receiver",
        "memory of the sender",
    },
    "live_style": {"face found in the whole picture", "face followed", "picture to style values"},
    "style_codec": {
        "values to payload",
        "payload to values",
        "payload into an Opus packet",
        "received packet taken apart",
    },
    "opus": {"encode", "decode", "conceal"},
    "jitter_buffer": {"packets in and out"},
}


@pytest.mark.parametrize(
    "benchmark",
    [pytest.param(b, id=b.name, marks=[pytest.mark.slow] if b.name in SLOW else []) for b in BENCHMARKS],
)
def test_subject_measures_what_it_promises(benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "WAYS", startup.WAYS[-1:])  # two processes instead of six
    outcomes = list(benchmark.run(SMALL))
    found = [outcome for outcome in outcomes if isinstance(outcome, Measurement)]
    skipped = [outcome for outcome in outcomes if isinstance(outcome, Skip)]
    assert {measurement.name for measurement in found} == NAMES[benchmark.name]
    rows = [(measurement.name, tuple(measurement.parameters.items())) for measurement in found]
    assert len(rows) == len(set(rows))
    assert all(0 < measurement.median < float("inf") and measurement.count > 0 for measurement in found)
    assert all(skip.reason for skip in skipped)


def test_the_registry_knows_its_names_and_no_others() -> None:
    assert [b.name for b in chosen(["opus", "drawing"])] == ["drawing", "opus"]
    assert chosen(None) == BENCHMARKS
    with pytest.raises(UnknownBenchmarkError, match="'video' is unknown; choose from drawing"):
        chosen(["opus", "video"])


def test_a_way_that_is_closed_here_is_skipped_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "usable_cores", lambda: 1)
    monkeypatch.setattr(drawing, "WAYS", drawing.WAYS[:2])
    outcomes = list(drawing.run(SMALL))
    assert Skip(name="torch-cpu fp32, 2 threads, 1 at once", reason="this process may use 1 core") in outcomes
    (measurement,) = [outcome for outcome in outcomes if isinstance(outcome, Measurement)]
    assert measurement.parameters == {
        "weights": "tiny",
        "runtime": "torch-cpu fp32",
        "threads": "1",
        "frames at once": "1",
    }
    assert measurement.unit is Unit.MILLISECONDS
    assert measurement.ratio == 1.0


def test_likeness_of_pictures() -> None:
    picture = np.full((4, 4, 3), 100, np.uint8)
    assert drawing.psnr_db(picture, picture) == pytest.approx(138.1, abs=0.1)
    assert drawing.psnr_db(picture, picture + np.uint8(1)) == pytest.approx(48.13, abs=0.01)


def test_the_jitter_buffer_plays_what_came_and_what_could_be_repaired() -> None:
    arrivals = jitter_buffer.stream(400)
    assert 0.9 * 400 < len(arrivals) < 400
    assert any(b[1].sequence < a[1].sequence for a, b in pairwise(arrivals))
    assert jitter_buffer.play(arrivals) > len(arrivals)


@pytest.mark.slow
def test_a_side_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ended before it was ready: .*nowhere"):
        startup.seconds_to_first_frame(str(tmp_path / "nowhere"), "torch-cpu", tmp_path)


@pytest.mark.slow
def test_the_tracker_follows_the_face_in_the_camera_pictures() -> None:
    pictures = live_style.camera_pictures(3)
    assert pictures[0].shape == (480, 640, 3)
    faces = FaceTracker().track(pictures)
    assert all(face is not None for face in faces)
    assert not (pictures[0] == pictures[2]).all()
