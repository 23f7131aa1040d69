"""A program of ours run as a process of its own, with its events read and its end guaranteed.

The child runs in a session of its own, so that Ctrl-C reaches it only through us; it watches its standard input, so
that it ends when we are gone.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from talkface.child.options_file import write_options
from talkface.errors import UserError
from talkface.program import ERROR_PREFIX

Event = Mapping[str, Any]
MAX_EVENT_BYTES = 1 << 16
STDERR_LINES = 40
PIPE_GRACE_S = 2.0


class ChildProcess:
    """One running child. Made by `start`."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, on_event: Callable[[Event], None]) -> None:
        self.name = name
        self._process = process
        self._on_event = on_event
        self._stderr: deque[str] = deque(maxlen=STDERR_LINES)
        self.last_sign_of_life_s = asyncio.get_running_loop().time()
        self._readers = [asyncio.create_task(self._read_events()), asyncio.create_task(self._read_stderr())]

    @classmethod
    async def start(
        cls,
        name: str,
        arguments: list[str],
        on_event: Callable[[Event], None],
        module: str = "talkface",
    ) -> ChildProcess:
        """Start `python -m MODULE ARGUMENTS`.

        `on_event` is called in the event loop for each line of JSON it prints, and with
        {"event": "text", "text": line} for any other line.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=MAX_EVENT_BYTES,
            start_new_session=True,
        )
        return cls(name, process, on_event)

    @classmethod
    async def start_with(
        cls, name: str, module: str, options: object, folder: Path, on_event: Callable[[Event], None]
    ) -> ChildProcess:
        """Start `python -m MODULE FILE` with `options` in a file in `folder`, for its `talkface.child.main`."""
        path = folder / f"{name}.options.json"
        write_options(path, options)
        return await cls.start(name, [str(path)], on_event, module)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.returncode is None

    async def wait(self) -> None:
        """Wait until it has ended.

        Raises:
            UserError: it ended with an error; the message is the child's own last words.
        """
        code = await self._process.wait()
        # A process that the child left behind may hold its pipes open: what it said by now has to do.
        await asyncio.wait(self._readers, timeout=PIPE_GRACE_S)
        if code != 0:
            raise UserError(self._last_words(code))

    def interrupt(self) -> None:
        """Ask it to end cleanly, as Ctrl-C does."""
        if self.is_running:
            try:
                self._process.send_signal(signal.SIGINT)
            except ProcessLookupError:
                pass

    async def close(self, grace_s: float = 5.0) -> None:
        """Make sure that it has ended."""
        if self.is_running:
            self.interrupt()
            try:
                await asyncio.wait_for(self._process.wait(), grace_s)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)

    async def _read_events(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self.last_sign_of_life_s = asyncio.get_running_loop().time()
            try:
                event = json.loads(line)
            except ValueError:
                event = {"event": "text", "text": line.decode(errors="replace").strip()}
            if isinstance(event, dict):
                self._on_event(event)

    async def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            self._stderr.append(line.decode(errors="replace").rstrip())

    def _last_words(self, code: int) -> str:
        own = [line.removeprefix(ERROR_PREFIX) for line in self._stderr if line.startswith(ERROR_PREFIX)]
        if own:
            return f"{self.name}: {own[-1]}"
        tail = "\n".join(self._stderr)
        reason = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"{self.name} ended with {reason}" + (f"; its last lines:\n{tail}" if tail else "")
