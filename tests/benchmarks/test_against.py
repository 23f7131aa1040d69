"""Two checkouts, row by row and round by round."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.against import Comparison, compare, main, measure, table
from benchmarks.performance import ROOT, Performance
from talkface.errors import UserError


def slower(performance: Performance, factor: float) -> Performance:
    """The same run on a machine that had more to do."""
    subjects = tuple(
        replace(subject, measurements=tuple(replace(m, median=m.median * factor) for m in subject.measurements))
        for subject in performance.subjects
    )
    return replace(performance, subjects=subjects)


def test_ratios_are_taken_within_rounds(performance: Performance) -> None:
    rounds = [(slower(performance, busy * 0.5), slower(performance, busy)) for busy in (1.0, 3.0, 1.0)]
    comparisons = compare(rounds)
    assert len(comparisons) == 4
    assert comparisons[1] == Comparison(
        row=("drawing", "one frame", (("runtime", "openvino"), ("threads", "1"))),
        unit="ms",
        here=4.0,
        there=8.0,
        ratios=(0.5, 0.5, 0.5),
    )
    line = "| drawing | one frame | runtime openvino, threads 1 | 4 ms | 8 ms | 0.50 | 0.50 to 0.50 |"
    assert line in table(comparisons).splitlines()


def test_rows_that_one_of_them_lacks_are_left_out(performance: Performance) -> None:
    fewer = replace(performance, subjects=performance.subjects[1:])
    assert [found.row[0] for found in compare([(performance, fewer)])] == ["jitter_buffer"]


def test_a_folder_without_benchmarks_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path)])
    assert ended.value.code == 1
    assert f"{tmp_path} holds no benchmarks" in capsys.readouterr().err


@pytest.mark.slow
def test_what_a_checkout_says_when_it_cannot_is_passed_on() -> None:
    with pytest.raises(UserError, match="'video' is unknown"):
        measure(ROOT, ["--only", "video"])


@pytest.mark.slow
def test_a_checkout_against_itself(capfd: pytest.CaptureFixture[str]) -> None:
    main([str(ROOT), "--rounds", "1", "--only", "jitter_buffer", "--samples", "5"])
    out, err = capfd.readouterr()
    assert "| jitter_buffer | packets in and out |" in out
    assert "round 1 of 1" in err
