"""The doctor finds what is here, names what is not, and never raises."""

from __future__ import annotations

import json
import sys
from collections import namedtuple

import pytest
from typer.testing import CliRunner

from talkface.cli.main import app
from talkface.doctor import checks
from talkface.doctor.check import State
from talkface.doctor.memory import MemoryLimit
from talkface.doctor.run import ORDER, run_checks


def test_every_missing_thing_comes_with_a_fix() -> None:
    found = run_checks()
    assert [check.name for check in found] == list(ORDER)
    for check in found:
        assert check.found
        assert check.fix or check.state is State.OK, check.name
    by_name = {check.name: check for check in found}
    for needed in ("python", "torch", "webrtc"):
        assert by_name[needed].state is State.OK


def test_json_is_what_was_found() -> None:
    result = CliRunner().invoke(app, ["doctor", "--json"])
    found = json.loads(result.output)
    assert all({"name", "state", "found", "fix"} == set(entry) for entry in found)
    has_missing = any(entry["state"] == "missing" for entry in found)
    assert result.exit_code == (1 if has_missing else 0)


def test_old_python_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    version = namedtuple("version", "major minor micro releaselevel serial")
    monkeypatch.setattr(sys, "version_info", version(3, 9, 0, "final", 0))
    assert checks.check_python().state is State.MISSING


def test_program_that_is_not_installed_names_its_package() -> None:
    check = checks.check_program("no-such-program", "the-package", "a test")
    assert check.state is State.OPTIONAL
    assert "apt-get install the-package" in check.fix


@pytest.mark.parametrize(
    ("limits", "state", "words"),
    [
        ([MemoryLimit(16.0, "in this machine")], State.OK, ""),
        ([MemoryLimit(16.0, "here"), MemoryLimit(1.5, "of addresses", is_addresses=True)], State.MISSING, "ulimit -v"),
        ([MemoryLimit(16.0, "here"), MemoryLimit(0.5, "for this container")], State.MISSING, "1 GB"),
        ([MemoryLimit(1.5, "in this machine")], State.OPTIONAL, "one end"),
    ],
)
def test_memory(limits: list[MemoryLimit], state: State, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "memory_limits", lambda: limits)
    check = checks.check_memory()
    assert check.state is state
    assert words in check.fix
    assert f"{limits[-1].gb:.1f} GB" in check.found
