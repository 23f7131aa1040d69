"""The doctor comes to its end on a machine that is too small for what it looks at."""

from __future__ import annotations

import json
import resource
import subprocess
import sys

import pytest

from talkface.doctor import run
from talkface.doctor.check import Check, State


@pytest.mark.parametrize(
    ("error", "words"),
    [(ImportError("no such library"), "no such library"), (MemoryError(), "memory"), (OSError("odd"), "OSError: odd")],
)
def test_whatever_a_check_trips_over_is_a_finding(error: Exception, words: str) -> None:
    def broken() -> Check:
        raise error

    check = run.run_check("torch", broken)
    assert check.state is State.MISSING
    assert words in check.found
    assert check.fix


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of address space are Linux's")
@pytest.mark.parametrize("limit_gb", [1.5, 0.7])
def test_every_check_is_answered_in_little_memory(limit_gb: float) -> None:
    limit = int(limit_gb * 1e9)
    result = subprocess.run(
        [sys.executable, "-m", "talkface", "doctor", "--json"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert result.returncode == 1, result.stderr
    found = {check["name"]: check for check in json.loads(result.stdout)}
    assert list(found) == list(run.ORDER)
    assert found["memory"]["state"] == "missing"
    assert f"{limit_gb} GB of addresses" in found["memory"]["found"]
    assert found["weights"]["state"] == "missing"
    assert found["weights"]["fix"] == "see memory"
    assert found["python"]["state"] == "ok"


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL, as when memory runs out"),
        ("import sys; print('OpenBLAS error: no memory', file=sys.stderr); sys.exit(1)", "OpenBLAS error: no memory"),
        ("import time; time.sleep(600)", "did not come to an end"),
    ],
)
def test_a_check_that_ends_its_process_does_not_end_the_others(
    program: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child says its first finding and ends in the second."""
    first = json.dumps(Check("gpu", State.OK, "a fast one").as_dict())
    monkeypatch.setattr(run, "CHILD", (sys.executable, "-c", f"print({first!r}, flush=True)\n{program}"))
    monkeypatch.setattr(run, "CHECK_LIMIT_S", 5.0)
    checks = run._run_in_child(["gpu", "openvino", "weights"])
    assert [check.name for check in checks] == ["gpu", "openvino"]
    assert checks[0].state is State.OK
    assert checks[1].state is State.MISSING
    assert words in checks[1].found
