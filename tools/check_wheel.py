"""Install the wheel into an empty environment and give a demo from there, without the source tree.

A fresh set of the dependencies would be 5 GB. So the empty environment gets links into this one: to the very packages
that the metadata of the wheel asks for, with what they ask for, and to no others. What only the tests need is not
there, nor is this environment's own way to the source tree. Exits with 1, and says at what, on the first thing that is
wrong.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from build_wheel import ROOT, build_wheel
from run_time import needed, wanted

PACKAGES = ("protocol", "sender", "receiver", "talkface", "talkface_core", "training")
ONLY_FOR_TESTS = ("pytest", "mypy", "ray", "matplotlib")
"""Import names that a call does without: importable from the wheel's environment, the check would prove nothing."""
OURS = f"""
import importlib.util, sys, sysconfig
home = sysconfig.get_path("purelib")
for name in {PACKAGES}:
    origin = importlib.util.find_spec(name).origin
    assert origin.startswith(home), f"{{name}} comes from {{origin}}, not from the wheel"
for name in {ONLY_FOR_TESTS}:
    assert importlib.util.find_spec(name) is None, f"{{name}} is there and nobody asked for it"
assert not any(path.startswith({str(ROOT)!r} + "/") and "site-packages" not in path for path in sys.path), sys.path
"""


def link(distribution: importlib.metadata.Distribution, site_packages: Path) -> None:
    """What a distribution has in its site-packages, linked into another; folders that several share are linked once."""
    for name in sorted({file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}):
        if not (site_packages / name).exists():
            (site_packages / name).symlink_to(str(distribution.locate_file(name)))


def check_wheel(folder: Path) -> None:
    """Everything that has to hold; `folder` is empty and takes some MB."""
    wheel = build_wheel(folder / "wheel")
    environment, empty = folder / "environment", folder / "empty"
    venv.create(environment, symlinks=True)
    empty.mkdir()
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True)
    (site_packages,) = environment.glob("lib/python3*/site-packages")
    (metadata,) = importlib.metadata.distributions(name="talkface", path=[str(site_packages)])
    for package in needed(wanted(metadata.requires or ()), sys.path).values():
        link(package.distribution, site_packages)
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}

    def run(*command: str | Path) -> None:
        print("from the wheel:", *(Path(command[0]).name, *command[1:][:3]), flush=True)
        subprocess.run(command, cwd=empty, env=variables, check=True)

    subprocess.run([*pip, "check", "--quiet"], check=True)
    subprocess.run([python, "-c", OURS], cwd=empty, env=variables, check=True)
    talkface = environment / "bin" / "talkface"
    run(talkface, "--help")
    run(talkface, "weights", "verify")
    run(talkface, "demo", "--weights", "tiny", "--output", "demo.mp4", "--report", "demo.json")
    video = json.loads((empty / "demo.json").read_text())["video"]
    if not video["frames_shown"] or not (empty / "demo.mp4").stat().st_size:
        sys.exit("the demo of the wheel showed no frame")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        try:
            check_wheel(Path(temporary))
        except subprocess.CalledProcessError as error:
            sys.exit(f"the wheel failed at: {' '.join(map(str, error.cmd))}")
    print("the wheel works alone")
