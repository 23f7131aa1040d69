"""What the numbers were measured on: processor, instruction sets, versions, and how busy the machine was."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from talkface.report.machine import describe_machine
from talkface_core.sound.libopus import OpusUnavailableError, load_libopus

PACKAGES = ("talkface", "torch", "openvino", "aiortc", "av", "numpy", "constriction")
NUMBER_TYPES = ("FP32", "FP16", "BF16", "INT8")
INSTRUCTION_SETS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX512-VNNI",
    "avx512_bf16": "AVX512-BF16",
    "avx512_fp16": "AVX512-FP16",
    "amx_int8": "AMX-INT8",
    "amx_bf16": "AMX-BF16",
    "asimd": "NEON",
    "sve": "SVE",
    "bf16": "BF16",
    "i8mm": "I8MM",
}
"""Flag in /proc/cpuinfo (x86 and Arm) to what people call it: those that decide how fast a frame is drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine and what is installed on it."""

    cpu: str
    cores: int
    """That this process may use."""
    memory_gb: float
    os: str
    instruction_sets: tuple[str, ...]
    """Empty where the system does not tell."""
    openvino_types: tuple[str, ...]
    """Number types that OpenVINO says the processor is good at; empty without OpenVINO."""
    gpu: str | None
    """The CUDA device, if any."""
    load: float | None
    """Processes that ran or waited for a core in the minute before: above 0.5, the numbers are noisy."""
    versions: dict[str, str]


def this_machine() -> Machine:
    """The machine that this process runs on, as it is now."""
    described = describe_machine()
    return Machine(
        cpu=described.cpu,
        cores=described.cores,
        memory_gb=described.memory_gb,
        os=described.os,
        instruction_sets=instruction_sets(_cpuinfo()),
        openvino_types=_openvino_types(),
        gpu=torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        versions=_versions(),
    )


def instruction_sets(cpuinfo: str) -> tuple[str, ...]:
    """Those of `INSTRUCTION_SETS` that the first processor in the text of /proc/cpuinfo has."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            flags = set(value.split())
            return tuple(label for flag, label in INSTRUCTION_SETS.items() if flag in flags)
    return ()


def _cpuinfo() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text(errors="replace") if path.exists() else ""


def _openvino_types() -> tuple[str, ...]:
    try:
        from talkface_core.runtime.quiet_openvino import openvino

        found = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    except (ImportError, RuntimeError):
        return ()
    return tuple(name for name in NUMBER_TYPES if name in found)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    try:
        found["libopus"] = load_libopus().version.removeprefix("libopus ")
    except OpusUnavailableError:
        pass
    return found
