"""What goes to the terminal: any text, to any terminal, and nothing in it that the terminal would obey.

Text may come from a peer, a server, a device or the name of a file: what controls a terminal (escape sequences, other
controls, marks that turn the direction of writing) is shown as `?` instead. A terminal that lacks a character gets the
nearest plain one. Everything that a person reads passes here; events of processes are JSON and need none of it.
"""

from __future__ import annotations

import codecs
import io
import logging
import re
import sys
import unicodedata
from collections.abc import Iterable
from types import TracebackType
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

PLAIN_ERRORS = "talkface-plain"
"""Name of the way to encode what an encoding lacks."""

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
"""C0 but for tab and line feed, DEL, C1, and what is invisible or turns the direction of writing."""
_PLAIN = {
    **dict.fromkeys("█▉▊▋▌▍▎▏■", "#"),
    **dict.fromkeys("─━╌╴╶╸╺–—−", "-"),
    **dict.fromkeys("│┃╎║", "|"),
    **dict.fromkeys("╭╮╰╯┌┐└┘├┤┬┴┼", "+"),
    **dict.fromkeys("“”„", '"'),
    **dict.fromkeys("‘’‚", "'"),
    "…": "...",
    "→": "->",
    "←": "<-",
    "±": "+-",
    "≤": "<=",
    "≥": ">=",
    "×": "x",
    "·": ".",
    "•": "*",
    "µ": "u",
}


def printable(text: str) -> str:
    """The text without what a terminal would obey; lines and tabs stay."""
    return _CONTROLS.sub("?", text)


def one_line(text: str) -> str:
    """As `printable`, and on one line: text from elsewhere must not look like a line of ours."""
    return " ".join(printable(text).split("\n"))


def plain(text: str) -> str:
    """The nearest text of ASCII alone."""
    return "".join(_PLAIN.get(one) or _without_marks(one) or "?" for one in text)


def say(text: str) -> None:
    """A result, on standard output."""
    print(printable(text), flush=True)


def warn(text: str) -> None:
    """Something to know, on standard error."""
    print(printable(text), file=sys.stderr, flush=True)


def open_terminal() -> None:
    """Make standard output and standard error what this module promises. At the start of a program; may be repeated."""
    codecs.register_error(PLAIN_ERRORS, _encode_plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Python keeps what goes to a file or a pipe until there are 8 kB: a log would show nothing for minutes.
            stream.reconfigure(errors=PLAIN_ERRORS, line_buffering=True)
    logging.lastResort = _PrintableLog(logging.WARNING)
    sys.excepthook = _print_traceback


class TerminalConsole(Console):
    """rich's console with the same promise, whatever is printed on it; styles and bars of our own stay."""

    def __init__(self, *, stderr: bool = False, file: TextIO | None = None) -> None:
        super().__init__(stderr=stderr, file=file, highlight=False, markup=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Everything printed becomes segments here."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))

    def on_broken_pipe(self) -> None:
        """A reader that went away: an error like others, so that files are written all the same."""
        raise BrokenPipeError(None, "the reader of the output is gone")


class _PrintableLog(logging.StreamHandler[TextIO]):
    """What modules log, where nobody has set logging up."""

    def __init__(self, level: int) -> None:
        super().__init__()
        self.setLevel(level)

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr  # of this moment: tests and programs put others in its place
        super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def _print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    import traceback

    warn("".join(traceback.format_exception(kind, error, trace)).rstrip())


def _encode_plain(error: UnicodeError) -> tuple[str, int]:
    """For `codecs.register_error`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return plain(error.object[error.start : error.end]), error.end


def _without_marks(character: str) -> str:
    """é as e; empty for what has no such form."""
    return unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
