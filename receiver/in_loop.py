"""The door from other threads into the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def in_loop(function: Callable[[T], None]) -> Callable[[T], None]:
    """`function`, callable from any thread: it runs in the loop that runs now, and not after that loop has ended."""
    loop = asyncio.get_running_loop()

    def call(argument: T) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(function, argument)

    return call
