"""A finished report: the table first, then the files; what cannot be written takes nothing with it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from receiver.sinks.recording import Recording
from talkface.errors import UserError
from talkface.report.report import Report
from talkface.report.show import show_report


def test_what_is_written_is_said(sample_report: Report, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = tmp_path / "new" / "r.json", tmp_path / "r.html"
    show_report(sample_report, *paths)
    out = capsys.readouterr().out
    assert out.index("10.56 kbps") < out.index("wrote")
    assert json.loads(paths[0].read_text())["preset"] == "default"
    assert "<html" in paths[1].read_text()


def test_a_report_that_cannot_be_written_loses_nothing(
    sample_report: Report, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match=r"^/dev/full cannot be written: No space left on device$"):
        show_report(sample_report, Path("/dev/full"), tmp_path / "r.html")
    out = capsys.readouterr().out
    assert "10.56 kbps" in out
    assert (tmp_path / "r.html").exists()
    assert "wrote /dev/full" not in out


def test_a_folder_that_vanished_is_said_for_each_file(sample_report: Report, tmp_path: Path) -> None:
    (tmp_path / "gone").touch()
    with pytest.raises(UserError, match=r"a\.json cannot be written: .*; .*b\.html cannot be written: "):
        show_report(sample_report, tmp_path / "gone" / "a.json", tmp_path / "gone" / "b.html")


def test_a_call_that_broke_off_is_reported_and_an_error(
    sample_report: Report, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "call.mp4").write_bytes(b"not an MP4 any more")
    recording = Recording(path=str(tmp_path / "call.mp4"), seconds=3.0, problem="No space left on device")
    with pytest.raises(UserError, match=r"holds only the first 3.0 s"):
        show_report(sample_report, None, tmp_path / "r.html", recording, problem=recording.describe())
    assert f"wrote {tmp_path / 'call.mp4'}" in capsys.readouterr().out.replace("\n", "")
    assert (tmp_path / "r.html").exists()


def test_a_command_line_that_is_no_text_is_in_the_page(sample_report: Report, tmp_path: Path) -> None:
    """A file name of bytes that are not UTF-8 reaches Python as lone surrogates."""
    show_report(replace(sample_report, command="talkface demo '\udcff.mp4'"), tmp_path / "r.json", tmp_path / "r.html")
    assert "talkface demo &#x27;?.mp4&#x27;" in (tmp_path / "r.html").read_text()
