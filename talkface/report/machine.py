"""What the machine is, for reports: a number means little without it."""

from __future__ import annotations

import platform
from pathlib import Path

import psutil

from talkface.cores import usable_cores
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
