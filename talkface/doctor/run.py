"""Runs the doctor's checks so that nothing they find can end the doctor.

Light checks run here. Heavy ones load libraries, and a library that lacks memory or a processor's instructions ends its
process without a word to Python: they run in a child, which says each finding as soon as it is known. When it ends
early, the check that it was at is the one that failed, and another child goes on after it.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import IO

from talkface.doctor.check import Check, State
from talkface.doctor.checks import HEAVY, LIGHT

CHILD = (sys.executable, "-m", "talkface.doctor")
CHECK_LIMIT_S = 120.0
"""For one child: libraries and weights load in seconds, on a busy machine in a minute."""
REINSTALL = "pip install --force-reinstall talkface"
ORDER = (
    "python",
    "memory",
    "torch",
    "gpu",
    "openvino",
    "libopus",
    "webrtc",
    "weights",
    "microphone",
    "camera",
    "chromium",
    "turnserver",
    "espeak-ng",
)
"""In which a person would mend them."""


def run_checks() -> list[Check]:
    """All checks."""
    found = {name: run_check(name, check) for name, check in LIGHT.items()}
    left = [name for name in ORDER if name in HEAVY]
    while left:
        checks = _run_in_child(left)
        found.update((check.name, check) for check in checks)
        left = left[len(checks) :]
    if found["memory"].state is State.MISSING:
        broken = [check for check in found.values() if check.state is State.MISSING and check.name in HEAVY]
        found.update((check.name, replace(check, fix="see memory")) for check in broken)
    return [found[name] for name in ORDER]


def run_check(name: str, check: Callable[[], Check]) -> Check:
    """One check, whatever it trips over."""
    try:
        return check()
    except ImportError as error:
        return Check(name, State.MISSING, f"cannot be imported: {error}", "pip install talkface")
    except MemoryError:
        return Check(name, State.MISSING, "there is not enough memory to look", "see memory")
    except Exception as error:  # a library's own
        return Check(name, State.MISSING, f"{type(error).__name__}: {error}", REINSTALL)


def _run_in_child(names: list[str]) -> list[Check]:
    """Findings of the first checks of `names`, at least one."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        try:
            code = subprocess.run(
                [*CHILD, *names], stdout=out, stderr=errors, timeout=CHECK_LIMIT_S, check=False
            ).returncode
            reason = _reason(code, errors)
        except subprocess.TimeoutExpired:
            reason = f"it did not come to an end in {CHECK_LIMIT_S:.0f} s"
        out.seek(0)
        checks = [_read(line) for line in out.read().decode(errors="replace").splitlines() if line.startswith("{")]
    if len(checks) < len(names):
        checks.append(Check(names[len(checks)], State.MISSING, f"cannot be looked at: {reason}", REINSTALL))
    return checks


def _read(line: str) -> Check:
    values: Mapping[str, str] = json.loads(line)
    return Check(values["name"], State(values["state"]), values["found"], values["fix"])


def _reason(code: int, errors: IO[bytes]) -> str:
    """Why a child ended: its last words, or the signal."""
    errors.seek(0)
    words = [line.strip() for line in errors.read().decode(errors="replace").splitlines() if line.strip()]
    if words:
        return words[-1]
    if code < 0:
        memory = ", as when memory runs out" if -code == signal.SIGKILL else ""
        return f"its process was ended by {signal.Signals(-code).name}{memory}"
    return f"its process ended with exit code {code}"
