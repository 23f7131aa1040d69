"""`python -m benchmarks`: what it is asked, what it prints, where it writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.performance import performance_from_json
from benchmarks.registry import BENCHMARKS
from benchmarks.table import BEGIN, END


def test_json_on_standard_output_and_progress_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--only", "jitter_buffer", "--samples", "5"])
    out, err = capsys.readouterr()
    (subject,) = performance_from_json(out).subjects
    assert subject.name == "jitter_buffer"
    assert subject.measurements[0].count == 5
    assert err.startswith("jitter_buffer: Jitter buffer\n  packets in and out")


def test_files_that_are_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, file = tmp_path / "page.md", tmp_path / "new folder/numbers.json"
    page.write_text(f"{BEGIN}\n{END}\n")
    main(["--only", "jitter_buffer", "--samples", "5", "--json", str(file), "--table", str(page)])
    assert capsys.readouterr().out == ""
    assert "### Jitter buffer" in page.read_text()
    assert len(performance_from_json(file.read_text()).subjects) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "drawin"], f"'drawin' is unknown; choose from {', '.join(b.name for b in BENCHMARKS)}"),
        (["--samples", "0"], "--samples must be at least 1"),
        (["--table", "nowhere.md"], "nowhere.md"),
        (["--json", "/"], "/ is a folder"),
    ],
)
def test_nothing_is_measured_when_the_command_line_is_wrong(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
