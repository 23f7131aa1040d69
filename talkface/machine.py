"""What the machine is, for reports: a number means little without it."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil

from talkface.report.report import MachineReport


def describe_machine() -> MachineReport:
    """CPU, usable cores, memory, system and Python of this machine."""
    return MachineReport(
        cpu=_cpu_name(),
        cores=usable_cores(),
        memory_gb=round(psutil.virtual_memory().total / 2**30, 1),
        os=_os_name(),
        python=platform.python_version(),
    )


def usable_cores() -> int:
    """Cores this process may run on, which a container may limit below what the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return f"{platform.system()} {platform.release()}"
