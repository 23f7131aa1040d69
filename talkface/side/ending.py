"""Why a call ends: somebody hangs up, all is sent, Ctrl-C, or an error of anything that runs beside the call.

The first reason counts. Work that is spawned here belongs to the call: its error ends the call, and it ends with it.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


class CallEnding:
    """One per call, in its event loop."""

    def __init__(self) -> None:
        self.reason = ""
        """For the far end, in words that say nothing about our insides."""
        self.is_by_peer = False
        self.error: BaseException | None = None
        self._over = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def listen(self, *, to_parent: bool) -> None:
        """End with Ctrl-C or SIGTERM; and `to_parent`: when the process that started this one is gone."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError):  # event loops on Windows
                loop.add_signal_handler(number, self.stop, "stopped")
        if to_parent:
            self.spawn(self._watch_stdin())

    def stop(self, reason: str, *, by_peer: bool = False) -> None:
        """The call is over; unless it was before."""
        if not self._over.is_set():
            self.reason, self.is_by_peer = reason, by_peer
            self._over.set()

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    async def wait(self) -> None:
        """Until the call is over."""
        await self._over.wait()

    async def wait_for(self, work: Coroutine[Any, Any, T]) -> T | None:
        """The result of `work`; None, and `work` is broken off, when the call is over before that."""
        task, over = asyncio.create_task(work), asyncio.create_task(self._over.wait())
        await asyncio.wait({task, over}, return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.wait({task})
        return None if task.cancelled() else task.result()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run beside the call; an error ends it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    async def cancel_tasks(self) -> None:
        """End what was spawned, and wait until it has ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.error = self.error or error
            self.stop("an error")

    async def _watch_stdin(self) -> None:
        """The process that started us is gone when our standard input closes."""
        reader = asyncio.StreamReader()
        with suppress(ValueError, OSError):
            await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
            await reader.read()
            self.stop("the parent process has ended")
