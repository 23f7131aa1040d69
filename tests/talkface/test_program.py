"""How a program of ours speaks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = "import sys, time; from talkface.program import run_to_exit; run_to_exit(lambda: ({}, time.sleep(600)))"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("words", ["print('half way')", "sys.stderr.write('half way\\n')"])
def test_a_line_is_in_the_pipe_before_the_work_is_done(words: str) -> None:
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    env.pop("PYTHONUNBUFFERED", None)
    command = [sys.executable, "-c", PROGRAM.format(words)]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "half way\n"
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
