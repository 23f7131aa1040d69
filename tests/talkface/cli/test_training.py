"""The commands of training: what a user gets wrong is said in one line, and a dry run shows the config."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from talkface.cli.main import app
from talkface.errors import UserError
from training.recipes import RECIPES


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), prog_name="talkface")


def problem(*arguments: str) -> str:
    result = invoke(*arguments)
    assert isinstance(result.exception, UserError), result.output
    return str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "papre", "--dry-run"], "'papre' is unknown; there are paper"),
        (["train", "debug_cpu"], "--data is missing"),
        (["train", "debug_cpu", "--dry-run", "--train.lrr", "1"], "did you mean train.lr"),
        (["train", "debug_cpu", "--data", "gone", "--out", "x"], "gone: no such folder"),
        (["train", "debug_cpu", "--dry-run", "--ablate", "sound"], "there are lipsync, videoref"),
        (["prepare", "gone", "out"], "gone: no such file or folder"),
        (["prepare", "gone", "out", "--engine", "spark"], "Choose local or ray"),
        (["evaluate", "--data", "gone", "--weights", "tiny"], "gone: no such folder"),
        (["evaluate", "--data", "gone", "--weights", "tiny", "--mode", "x"], "Choose from live, camera, base"),
        (["evaluate", "--data", "gone", "--through-wire", "x"], "Choose one of minimum"),
        (["export", "gone", "out", "--data", "gone"], "holds no finished checkpoint"),
        (["table2", "--baseline", "gone.json"], "gone.json: not a readable report"),
    ],
)
def test_what_is_wrong_is_said(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in problem(*arguments)


def test_a_dry_run_prints_the_config_with_its_changes() -> None:
    result = invoke("train", "debug_cpu", "--dry-run", "--train.lr", "3e-4")
    assert result.exit_code == 0, result.output
    assert "--train.lr 0.0003" in result.output
    assert "--loss.sync 0.05" in result.output


def test_every_recipe_is_named_in_the_help() -> None:
    text = " ".join(invoke("train", "--help").output.split())
    missing = [name for name in RECIPES if name not in re.split(r"[ ,.]+", text)]
    assert missing == []


def test_every_field_is_listed() -> None:
    result = invoke("train", "debug_cpu", "--show-options")
    assert result.exit_code == 0
    assert "--train.batch_size" in result.output
    assert "table or encoder" in result.output


def test_table_two_from_reports(tmp_path: Path) -> None:
    paths = []
    for name, value in (("a", 0.9), ("b", 0.7)):
        paths.append(tmp_path / f"{name}.json")
        paths[-1].write_text(json.dumps({"modes": {"live": {"ssim": value}}}))
    result = invoke("table2", "--baseline", str(paths[0]), "--videoref", str(paths[1]))
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[2].split()[:3] == ["w/o", "VideoRef", "0.700"]
