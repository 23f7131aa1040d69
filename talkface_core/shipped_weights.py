"""The face models that ship inside the package, by name."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

SHIPPED_WEIGHTS = ("default", "general")
"""One person's face, which calls use; and the start for any face."""


def shipped_weights_folder(name: str = "default") -> Path:
    """Where the weights of a name of `SHIPPED_WEIGHTS` lie."""
    return Path(str(resources.files("talkface_core"))) / f"weights_{name}"
