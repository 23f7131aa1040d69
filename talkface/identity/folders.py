"""Where this user's identity and those of others are kept when nothing else is said."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def identity_folder() -> Path:
    """Where the key is kept: in $XDG_CONFIG_HOME or ~/.config, on macOS in ~/Library/Application Support."""
    if sys.platform == "darwin" and not os.environ.get("XDG_CONFIG_HOME"):
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return base / "talkface" / "identity"


def identity_cache_folder() -> Path:
    """Where identities of peers are kept when the user does not say."""
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "talkface" / "identities"
