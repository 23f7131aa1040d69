"""Freed memory stays in the process: the kernel is asked for pages once, not for every map."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import resource, sys, torch
from training.freed_memory import keep_freed_memory
kept = keep_freed_memory() if sys.argv[1] == "keep" else False
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20): torch.ones(16 << 20)
before = faults()
for _ in range(10): torch.ones(16 << 20)
print(kept, faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_maps_do_not_fault_again() -> None:
    def faults(mode: str) -> tuple[bool, int]:
        command = [sys.executable, "-c", PROGRAM, mode]
        root = Path(__file__).resolve().parents[2]
        result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True, timeout=120)
        kept, count = result.stdout.split()
        return kept == "True", int(count)

    kept, few = faults("keep")
    _, many = faults("plain")
    assert kept
    assert few * 20 < many
