"""OpenVINO runs without calling home."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_telemetry_is_not_loaded_and_conversion_still_works() -> None:
    code = """
import sys
from talkface_core.face.model import load_face_model
from talkface_core.runtime.openvino_cpu import convert
convert(load_face_model("tiny").weights.networks)
loaded = [name for name, module in sys.modules.items() if name.startswith("openvino_telemetry") and module is not None]
assert not loaded, loaded
assert "openvino.tools.ovc" in sys.modules
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr


def test_openvino_is_imported_in_one_place() -> None:
    packages = ("protocol", "sender", "receiver", "talkface", "talkface_core", "training")
    files = [path for package in packages for path in (ROOT / package).rglob("*.py")]
    importers = [path.name for path in files if re.search(r"^\s*(import|from) openvino\b", path.read_text(), re.M)]
    assert importers == ["quiet_openvino.py"]
