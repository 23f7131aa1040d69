"""The wheel holds every file that git tracks in the packages, and nothing else."""

from __future__ import annotations

import zipfile
from pathlib import Path

from build_wheel import build_wheel, tracked_files

PACKAGES = ("protocol/", "sender/", "receiver/", "talkface/", "talkface_core/", "training/")


def test_wheel_holds_the_tracked_files_of_the_packages(tmp_path: Path) -> None:
    with zipfile.ZipFile(build_wheel(tmp_path)) as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
        licences = [name for name in wheel.namelist() if name.endswith("/LICENSE")]
    assert held == {name for name in tracked_files() if name.startswith(PACKAGES)}
    assert len(licences) == 1
