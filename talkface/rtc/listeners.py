"""Who is told what a far end sends."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic, TypeVar

logger = logging.getLogger(__name__)
T = TypeVar("T")


class Listeners(Generic[T]):
    """Callbacks of the sessions; whatever hostile bytes trip over in one must not end aiortc's receive loop."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[T], None]] = []

    def add(self, callback: Callable[[T], None]) -> None:
        """Tell this one too, from now on."""
        self._callbacks.append(callback)

    def tell(self, what: T) -> None:
        """Call them all, in the order in which they came."""
        for callback in list(self._callbacks):
            try:
                callback(what)
            except Exception:
                logger.exception("a session failed on what the far end sent")
