"""The life of a receiving session: its tasks, and the one way in which it ends (`protocol.interfaces.CallSession`)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from protocol.interfaces import EndCause, SessionEnd
from receiver.errors import ReceiverError, SessionCrashedError

logger = logging.getLogger(__name__)


class SessionLife:
    """Runs a session's tasks until it ends; the first end counts, what comes after it changes nothing."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_over = asyncio.Event()
        self._end: SessionEnd | ReceiverError | None = None

    @property
    def is_over(self) -> bool:
        return self._end is not None

    async def wait(self) -> SessionEnd:
        """Until the session is over, for any number of callers. Raises the error that ended it."""
        await self._is_over.wait()
        assert self._end is not None
        if isinstance(self._end, ReceiverError):
            raise self._end
        return self._end

    def end(self, cause: EndCause, reason: str = "") -> None:
        """The session is over as it should be."""
        self._close_with(SessionEnd(cause, reason))

    def fail(self, error: ReceiverError) -> None:
        """The session is over because of an error."""
        self._close_with(error)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run beside the session; an exception ends it with a SessionCrashedError."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    async def cancel_tasks(self) -> None:
        """End every task and wait until they have."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _close_with(self, end: SessionEnd | ReceiverError) -> None:
        if self._end is None:
            self._end = end
            self._is_over.set()

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("the receiving session failed", exc_info=error)
            crash = SessionCrashedError(f"the receiving session failed: {type(error).__name__}: {error}")
            crash.__cause__ = error
            self.fail(crash)
