"""How far long work is: a bar where a person looks on, else (a file, a pipe) a line every few seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.markup import escape
from rich.progress import Progress, ProgressColumn

from talkface.terminal import TerminalConsole, warn

Stage = Callable[[str, int, int | None], None]
"""Called with what is being done, how much of it is done, and of how much (None: nobody knows)."""

LINE_INTERVAL_S = 5.0
"""A log that is followed should move, and one that is kept should not fill up."""


@contextmanager
def show_stages(*columns: ProgressColumn, amount: Callable[[int], str] = str) -> Iterator[Stage]:
    """Show on standard error what is reported to the yielded function.

    Args:
        columns: of the bar; rich's own without any.
        amount: how a line spells how much is done.
    """
    console = TerminalConsole(stderr=True)
    if not console.is_terminal:
        yield StageLines(amount)
        return
    with Progress(*columns or Progress.get_default_columns(), console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(task, description=escape(what), completed=done, total=total)


class StageLines:
    """A line for the beginning and the end of each stage, and every few seconds between."""

    def __init__(self, amount: Callable[[int], str] = str, now_s: Callable[[], float] = time.monotonic) -> None:
        self._amount, self._now_s = amount, now_s
        self._what = ""
        self._last = (0, 0.0)
        """What was done when, by the last line."""

    def __call__(self, what: str, done: int, total: int | None) -> None:
        now_s = self._now_s()
        is_new = what != self._what
        is_end = done == total and done != self._last[0]
        if is_new or is_end or now_s - self._last[1] >= LINE_INTERVAL_S:
            self._what, self._last = what, (done, now_s)
            of = f" of {self._amount(total)}" if total is not None else ""
            warn(f"{what}: {self._amount(done)}{of}")
