"""A `talkface` command as a process whose output is a pipe: what does it say while it still runs?"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parents[2]


class RunningCommand:
    """`with RunningCommand("train", ...) as command: command.wait_for("step 1 ")`; killed at the end of the block.

    Standard output and standard error come through one pipe, as with `> log 2>&1`. Python's own way out of its
    buffers, PYTHONUNBUFFERED, is not set.
    """

    def __init__(self, *arguments: str, cwd: Path | None = None, **environment: str) -> None:
        env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
        env.pop("PYTHONUNBUFFERED", None)
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._has_ended = False
        self.process = subprocess.Popen(
            [sys.executable, "-m", "talkface", *arguments],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(10)

    @property
    def output(self) -> str:
        """All that was said until now."""
        return "".join(self.lines)

    def wait_for(self, words: str, timeout_s: float = 120.0) -> str:
        """The first line with `words` in it; the process must still run when it comes."""
        with self._changed:
            self._changed.wait_for(lambda: self._has_ended or any(words in line for line in self.lines), timeout_s)
            found = next((line for line in self.lines if words in line), None)
        assert found is not None, f"{words!r} was not said: {self.output[-3000:]}"
        assert self.process.poll() is None, f"said at the end only: {self.output[-3000:]}"
        return found

    def wait(self, timeout_s: float = 120.0) -> int:
        """Exit code, once all that was said is in `lines`."""
        code = self.process.wait(timeout_s)
        self._reader.join(10)
        return code

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()
