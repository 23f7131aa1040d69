"""Build the wheel of what git tracks: `python tools/build_wheel.py FOLDER` prints the path of the wheel.

The files are copied first. In the checkout itself setuptools would take what an earlier build left in build/, and files
that nobody committed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def tracked_files() -> list[str]:
    """Paths of the files that git tracks and that are still there, relative to the root."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def build_wheel(folder: Path) -> Path:
    """The wheel in `folder`, built with this environment's setuptools and without asking any index."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        source, built = Path(temporary) / "source", Path(temporary) / "built"
        for name in tracked_files():
            if not name.startswith(("tests/", "docs/")):
                (source / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, source / name)
        options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(built)]
        subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(source)], check=True)
        (wheel,) = built.glob("talkface-*.whl")
        return Path(shutil.copy2(wheel, folder))


if __name__ == "__main__":
    print(build_wheel(Path(sys.argv[1])))
