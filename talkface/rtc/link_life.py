"""The life of a link: its state, who waits for it and who is told."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable

from talkface.rtc.errors import LinkError


class LinkState(enum.Enum):
    """Life of a link; never goes back."""

    NEW = "new"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    CLOSED = "closed"


class LinkLife:
    """Where a link is in its life."""

    def __init__(self) -> None:
        self.state = LinkState.NEW
        self._changed = asyncio.Event()
        self._failure = ""
        self._callbacks: list[Callable[[LinkState], None]] = []

    def on_state(self, callback: Callable[[LinkState], None]) -> None:
        """Be told of every change of `state`."""
        self._callbacks.append(callback)

    def enter(self, state: LinkState) -> None:
        """Go on to a state; nothing happens on the way back."""
        order = list(LinkState)
        if order.index(state) <= order.index(self.state):
            return
        self.state = state
        self._changed.set()
        for callback in self._callbacks:
            callback(state)

    def lose(self, why: str = "the far end has ended the connection") -> None:
        """The connection has ended, and not by us; `why` is what those hear who wait for it."""
        if self.state is not LinkState.CLOSED:
            self._failure = why
            self.enter(LinkState.CLOSED)

    async def wait_connected(self, timeout_s: float) -> None:
        """Return once the link is connected.

        Raises:
            LinkError: not connected after `timeout_s`, or the attempt has failed.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while self.state in (LinkState.NEW, LinkState.CONNECTING):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise LinkError(f"no connection to the far end after {timeout_s:.0f} s") from None
        if self.state is LinkState.CLOSED:
            raise LinkError(self._failure or "the connection to the far end has ended")
