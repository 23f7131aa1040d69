"""The doctor finds what is here, names what is not, and never raises."""

from __future__ import annotations

import json
import sys
from collections import namedtuple

import pytest
from typer.testing import CliRunner

from talkface import doctor
from talkface.cli.main import app
from talkface.doctor import Check, State


def test_every_missing_thing_comes_with_a_fix() -> None:
    checks = doctor.run_checks()
    assert {"python", "torch", "libopus", "webrtc", "weights", "microphone", "camera"} <= {c.name for c in checks}
    for check in checks:
        assert check.found
        assert check.fix or check.state is State.OK, check.name
    by_name = {check.name: check for check in checks}
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
    assert doctor.check_python().state is State.MISSING


def test_program_that_is_not_installed_names_its_package() -> None:
    check = doctor.check_program("no-such-program", "the-package", "a test")
    assert check.state is State.OPTIONAL
    assert "apt-get install the-package" in check.fix


def test_check_that_cannot_import_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Check:
        raise ImportError("no such library")

    monkeypatch.setattr(doctor, "check_torch", broken)
    check = next(check for check in doctor.run_checks() if check.name == "torch")
    assert check.state is State.MISSING
    assert "no such library" in check.found
