"""What a running side tells: to a person as one line that changes, to a parent process as JSON lines.

Standard output carries events, standard error messages for people.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console
from rich.status import Status
from rich.text import Text

from talkface.terminal import TerminalConsole, one_line

EventValue = str | int | float | None


class Progress(Protocol):
    """Where a side reports what it is doing."""

    def state(self, name: str, **details: EventValue) -> None:
        """A new stage: "loading", "waiting", "connected", "finishing"."""
        ...

    def tick(self, seconds: float, kbps: float) -> None:
        """The call runs: time since it began and the rate upward, about once a second."""
        ...

    def note(self, text: str) -> None:
        """Something a person should know, once."""
        ...


STATE_TEXTS: Mapping[str, str] = {
    "loading": "loading the face model",
    "waiting": "waiting for the other end",
    "connecting": "connecting",
    "connected": "connected",
    "reconnecting": "the network is gone, reconnecting",
    "finishing": "finishing the files",
}


TICK_LINE_S = 30.0
"""Of the call, between two lines that only say that it goes on."""


class ConsoleProgress:
    """One line on standard error that says what is going on; plain lines when it is not a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or TerminalConsole(stderr=True)
        self._status: Status | None = None
        self._next_tick_s = 0.0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            spinner = "dots" if self._console.encoding.startswith("utf") else "line"
            self._status = self._console.status("starting", spinner=spinner)
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def state(self, name: str, **details: EventValue) -> None:
        extra = ", ".join(f"{key} {value}" for key, value in details.items() if value is not None)
        self._show(STATE_TEXTS.get(name, name) + (f" ({extra})" if extra else ""))

    def tick(self, seconds: float, kbps: float) -> None:
        text = f"{seconds:.0f} s in the call, {kbps:.1f} kbps up"
        if self._status is not None:
            self._status.update(text)
        elif seconds >= self._next_tick_s:
            self._next_tick_s = seconds + TICK_LINE_S
            self._show(text)

    def note(self, text: str) -> None:
        self._console.print(f"note: {one_line(text)}", style="yellow")

    def _show(self, text: str) -> None:
        if self._status is not None:
            self._status.update(Text(one_line(text)))
        else:
            self._console.print(one_line(text))


class JsonProgress:
    """One JSON object per line, for the process that started this one."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out

    def state(self, name: str, **details: EventValue) -> None:
        self._write({"event": "state", "name": name, **details})

    def tick(self, seconds: float, kbps: float) -> None:
        self._write({"event": "tick", "seconds": round(seconds, 2), "kbps": round(kbps, 3)})

    def note(self, text: str) -> None:
        self._write({"event": "note", "text": text})

    def _write(self, event: Mapping[str, EventValue]) -> None:
        try:
            print(json.dumps(event), file=self._out, flush=True)
        except BrokenPipeError:
            pass  # the parent is gone; its end of standard input tells us to stop
