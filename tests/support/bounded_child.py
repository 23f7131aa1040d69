"""Statements in a process of their own: each may take one second, all 200 MB beyond what the imports took."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

BOUNDED_MB = 200
BOUNDED_S = 1.0
_CHILD = """
import json, resource, sys, time
{imports}
kb = int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmSize")))
limit = kb * 1024 + {mb} * 1024 * 1024
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for statement in json.loads(sys.argv[1]):
    started = time.process_time()
    try:
        exec(statement)
    except {error} as problem:
        print(json.dumps([time.process_time() - started, str(problem)]))
    else:
        raise SystemExit(f"{{statement}}: nothing was refused")
"""


def refusals(imports: str, statements: Sequence[str], error: str) -> list[str]:
    """The messages of the `error` that each statement raises; fails the test when one raises another or takes more."""
    root = Path(__file__).resolve().parents[2]
    run = subprocess.run(
        [
            sys.executable,
            "-c",
            _CHILD.format(imports=imports, error=error, mb=BOUNDED_MB),
            json.dumps(list(statements)),
        ],
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    messages = []
    for line in run.stdout.splitlines():
        seconds, message = json.loads(line)
        assert seconds < BOUNDED_S, f"{seconds:.1f} s: {message}"
        messages.append(message)
    return messages
