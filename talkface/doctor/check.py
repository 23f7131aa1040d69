"""What one check of the doctor finds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum


class State(StrEnum):
    """How a check came out."""

    OK = "ok"
    OPTIONAL = "optional"
    """Missing, but a call works without."""
    MISSING = "missing"
    """A call cannot work."""


@dataclass(frozen=True, slots=True)
class Check:
    """One finding."""

    name: str
    state: State
    found: str
    fix: str = ""
    """How to get it; empty when it is there."""

    def as_dict(self) -> dict[str, str]:
        """For `talkface doctor --json`."""
        return {**asdict(self), "state": self.state.value}
