"""What this machine has and lacks for a call, and how to get what is missing.

Each check is one function that returns a `Check`; none of them opens a connection or changes anything.
`talkface/doctor/run.py` runs them.
"""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from talkface.doctor.check import Check, State
from talkface.doctor.memory import memory_limits

MIN_PYTHON = (3, 11)
TORCH_SERIES = "2.11"
MIN_ADDRESS_SPACE_GB = 5.0
"""Libraries and weights of one end take 4.3 GB of addresses; most of them are never used."""
MIN_MEMORY_GB = 1.0
"""One end takes 0.85 GB."""
GOOD_MEMORY_GB = 2.0
"""Two ends, for `demo` and `loopback`."""


def check_python() -> Check:
    found = f"Python {platform.python_version()}"
    if sys.version_info[:2] < MIN_PYTHON:
        return Check("python", State.MISSING, found, f"install Python {MIN_PYTHON[0]}.{MIN_PYTHON[1]} or newer")
    return Check("python", State.OK, found)


def check_memory() -> Check:
    limits = memory_limits()
    found = ", ".join(f"{limit.gb:.1f} GB {limit.of}" for limit in limits)
    addresses = min((limit.gb for limit in limits if limit.is_addresses), default=MIN_ADDRESS_SPACE_GB)
    memory = min((limit.gb for limit in limits if not limit.is_addresses), default=GOOD_MEMORY_GB)
    if addresses < MIN_ADDRESS_SPACE_GB:
        fix = f"ulimit -v unlimited: libraries map {MIN_ADDRESS_SPACE_GB:.0f} GB, and use little of it"
        return Check("memory", State.MISSING, found, fix)
    if memory < MIN_MEMORY_GB:
        return Check("memory", State.MISSING, found, f"one end of a call needs {MIN_MEMORY_GB:.0f} GB")
    if memory < GOOD_MEMORY_GB:
        fix = f"enough for one end; demo and loopback run two and need {GOOD_MEMORY_GB:.0f} GB"
        return Check("memory", State.OPTIONAL, found, fix)
    return Check("memory", State.OK, found)


def check_torch() -> Check:
    versions = {name: _installed(name) for name in ("torch", "torchaudio", "torchvision")}
    absent = [name for name, number in versions.items() if number is None]
    if absent:
        return Check("torch", State.MISSING, f"no {', '.join(absent)}", "pip install talkface")
    found = ", ".join(f"{name} {number}" for name, number in versions.items())
    torch_version = versions["torch"] or ""
    if not torch_version.startswith(TORCH_SERIES):
        return Check(
            "torch", State.MISSING, found, f"pip install 'torch=={TORCH_SERIES}.*' 'torchaudio=={TORCH_SERIES}.*'"
        )
    return Check("torch", State.OK, found)


def check_gpu() -> Check:
    import torch

    if torch.cuda.is_available():
        return Check("gpu", State.OK, torch.cuda.get_device_name(0))
    return Check("gpu", State.OPTIONAL, "no CUDA device", "not needed for a call; training is much faster with one")


def check_openvino() -> Check:
    try:
        from talkface_core.runtime.quiet_openvino import openvino
    except ImportError as error:
        return Check("openvino", State.OPTIONAL, f"not usable: {error}", "pip install openvino; without it torch draws")
    core = openvino.Core()
    devices = list(core.available_devices)
    if "CPU" not in devices:
        return Check("openvino", State.OPTIONAL, f"devices: {devices}", "torch draws instead, slower")
    capabilities = list(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    precision = (
        "bf16" if "BF16" in capabilities else "fp32 only: a CPU with AVX512-BF16 or AMX draws two to three times faster"
    )
    return Check(
        "openvino", State.OK, f"{openvino.__version__.split('-')[0]}, devices {', '.join(devices)}, {precision}"
    )


def check_opus() -> Check:
    from talkface_core.sound.libopus import OpusUnavailableError, load_libopus

    try:
        library = load_libopus()
    except OpusUnavailableError as error:
        return Check("libopus", State.OPTIONAL, str(error), "apt-get install libopus0; without it 12 kbps at least")
    return Check("libopus", State.OK, f"{library.version} ({Path(library.path).name})")


def check_aiortc() -> Check:
    number = _installed("aiortc")
    if number is None:
        return Check("webrtc", State.MISSING, "no aiortc", "pip install talkface")
    from talkface.rtc.adapter.names import missing_features

    missing = missing_features()
    if missing:
        names = ", ".join(sorted(feature.value for feature in missing))
        return Check(
            "webrtc",
            State.OPTIONAL,
            f"aiortc {number} lacks {names}",
            "pip install 'aiortc==1.16.*'; the stock path costs more",
        )
    return Check("webrtc", State.OK, f"aiortc {number}")


def check_weights() -> Check:
    from talkface_core.errors import CoreError
    from talkface_core.face.model import load_face_model

    try:
        info = load_face_model("default").info
    except (CoreError, OSError) as error:
        return Check("weights", State.MISSING, str(error), "reinstall talkface, or use --weights tiny to try the call")
    return Check("weights", State.OK, f"{info.name}, {info.resolution_px} px, sha256 {info.weights_sha256[:12]}")


def check_microphone() -> Check:
    devices = sorted(Path("/dev/snd").glob("pcmC*D*c")) if Path("/dev/snd").is_dir() else []
    if sys.platform.startswith("linux") and not devices and not _has_pulse():
        return Check("microphone", State.OPTIONAL, "none found", "plug one in, or send a file with --input")
    return Check("microphone", State.OK, f"{len(devices)} ALSA capture device(s)" if devices else "sound server")


def check_camera() -> Check:
    cameras = sorted(Path("/dev").glob("video*"))
    if not cameras:
        return Check(
            "camera", State.OPTIONAL, "none found", "plug one in, or use --style reference or a file with --input"
        )
    return Check("camera", State.OK, ", ".join(str(path) for path in cameras))


def check_program(program: str, package: str, purpose: str) -> Check:
    """A program that only tests or tools need."""
    path = shutil.which(program)
    if path is None:
        return Check(program, State.OPTIONAL, "not installed", f"apt-get install {package} ({purpose})")
    return Check(program, State.OK, path)


LIGHT: dict[str, Callable[[], Check]] = {
    "python": check_python,
    "memory": check_memory,
    "torch": check_torch,
    "microphone": check_microphone,
    "camera": check_camera,
    "chromium": lambda: check_program("chromium", "chromium", "the browser test"),
    "turnserver": lambda: check_program("turnserver", "coturn", "the TURN test"),
    "espeak-ng": lambda: check_program("espeak-ng", "espeak-ng", "synthetic voices in training"),
}
"""Checks that only look."""

HEAVY: dict[str, Callable[[], Check]] = {
    "gpu": check_gpu,
    "openvino": check_openvino,
    "libopus": check_opus,
    "webrtc": check_aiortc,
    "weights": check_weights,
}
"""Checks that load libraries, which may end the process on a machine where they do not work."""


def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _has_pulse() -> bool:
    return shutil.which("pactl") is not None or shutil.which("pw-cli") is not None
