"""A child's events, its last words, and that it is gone afterwards."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from talkface.child.process import ChildProcess
from talkface.errors import UserError


def test_child_that_fails_is_quoted() -> None:
    async def run() -> None:
        child = await ChildProcess.start("loopback", ["loopback", "--preset", "huge"], lambda event: None)
        try:
            await child.wait()
        finally:
            await child.close()

    with pytest.raises(UserError, match=r"loopback: preset 'huge' is unknown"):
        asyncio.run(run())


def test_lines_become_events_and_an_interrupt_ends_it() -> None:
    events: list[Any] = []

    async def run() -> bool:
        ready = asyncio.Event()

        def on_event(event: Any) -> None:
            events.append(event)
            ready.set()

        arguments = ["signal", "--host", "127.0.0.1", "--port", "0"]
        child = await ChildProcess.start("signal", arguments, on_event)
        try:
            await asyncio.wait_for(ready.wait(), 30)
            child.interrupt()
            await asyncio.wait_for(child.wait(), 30)
            return child.is_running
        finally:
            await child.close()

    assert asyncio.run(run()) is False
    assert events[0]["event"] == "text"
    assert "ws://127.0.0.1:" in events[0]["text"]
