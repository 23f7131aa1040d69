"""The machine is described by what decides its speed."""

from __future__ import annotations

import json

import torch

from benchmarks.machine import Machine, instruction_sets, this_machine
from talkface.typed_json import from_json, to_json

X86 = """processor\t: 0
model name\t: Some CPU
flags\t\t: fpu sse2 avx2 avx512f avx512_bf16 amx_bf16
bugs\t\t: spectre_v1

processor\t: 1
flags\t\t: fpu
"""
ARM = "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd i8mm bf16\n"


def test_instruction_sets_of_both_families() -> None:
    assert instruction_sets(X86) == ("AVX2", "AVX-512", "AVX512-BF16", "AMX-BF16")
    assert instruction_sets(ARM) == ("NEON", "BF16", "I8MM")


def test_a_system_that_does_not_tell() -> None:
    assert instruction_sets("") == ()


def test_this_machine_goes_through_json() -> None:
    machine = this_machine()
    assert from_json(Machine, json.loads(json.dumps(to_json(machine), allow_nan=False)), "machine") == machine
    assert machine.cores >= 1
    assert machine.versions["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert {"openvino", "aiortc", "av", "numpy", "libopus"} <= machine.versions.keys()
