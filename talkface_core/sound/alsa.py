"""Where this system keeps the ALSA library's configuration, for a microphone and a loudspeaker alike.

The library in the PyAV wheel looks for it where the wheel was built; the variables here point it at the system's own.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path


def use_system_alsa() -> None:
    """Point the library at the system's configuration, before the first device is opened; what the user set stays."""
    for variable, path in system_alsa().items():
        os.environ.setdefault(variable, path)


def system_alsa(usr: Path = Path("/usr"), machine: str = platform.machine()) -> dict[str, str]:
    """The library's environment variables with their paths, as far as these exist under `usr`.

    Plugins of `machine` come first: a system may hold those of another one too (i386 beside x86_64).
    """
    plugins = sorted(usr.glob("lib*/*/alsa-lib")) + sorted(usr.glob("lib*/alsa-lib"))
    plugins.sort(key=lambda folder: not folder.parent.name.startswith(machine))
    places = {
        "ALSA_CONFIG_PATH": [usr / "share/alsa/alsa.conf"],
        "ALSA_CONFIG_DIR": [usr / "share/alsa"],
        "ALSA_PLUGIN_DIR": plugins,
    }
    found = {variable: [path for path in candidates if path.exists()] for variable, candidates in places.items()}
    return {variable: str(paths[0]) for variable, paths in found.items() if paths}
