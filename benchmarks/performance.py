"""The content of `performance.json`: everything that was measured in one run, on what, and when."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.benchmark import Settings
from benchmarks.machine import Machine
from benchmarks.measurement import Measurement, Skip
from talkface.typed_json import from_json, to_json

PERFORMANCE_VERSION = 1
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectResult:
    """What one subject gave."""

    name: str
    title: str
    seconds: float
    """That measuring it took."""
    measurements: tuple[Measurement, ...]
    skipped: tuple[Skip, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """One run."""

    date: str
    """UTC, ISO 8601, when it began."""
    commit: str | None
    """That was checked out, with "+" behind it when files differed; None outside a checkout."""
    machine: Machine
    settings: Settings
    subjects: tuple[SubjectResult, ...]

    def to_json(self) -> str:
        """Raises ValueError when a number is not finite."""
        data = {"performance_version": PERFORMANCE_VERSION, **to_json(self)}
        return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def performance_from_json(text: str) -> Performance:
    """Read what `Performance.to_json` wrote.

    Raises:
        ValueError: it is not that: no JSON, another version, or a name is missing or unknown.
    """
    data = json.loads(text)
    found = data.pop("performance_version", None) if isinstance(data, dict) else None
    if found != PERFORMANCE_VERSION:
        raise ValueError(f"performance version is {found!r}, this program reads {PERFORMANCE_VERSION}")
    return from_json(Performance, data, "performance")


def now() -> str:
    """The date of a run that begins now."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def checked_out_commit() -> str | None:
    """See `Performance.commit`."""
    try:
        commit = _git("rev-parse", "--short", "HEAD")
        return commit + "+" if _git("status", "--porcelain", "--untracked-files=no") else commit
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
