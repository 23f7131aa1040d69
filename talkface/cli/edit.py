"""`talkface edit`: open the mouth, blink, turn the head: a strip of pictures and a short film (paper section IV)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from talkface.cli.from_options import from_options
from talkface.edit.options import EditOptions
from talkface.errors import UserError

if TYPE_CHECKING:
    from talkface.edit.face_edit import Step


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("edit")(edit_command)


@from_options(last=("runtime",))
def edit_command(wanted: EditOptions) -> None:
    """Move a face along semantic directions (eq. 7) and show it: mouth, eyes, head.

    Directions come with the weights, from a file, or from a video in which pairs of frames are found that differ in one
    thing alone.
    """
    from talkface.edit.run import run_edit
    from talkface_core.errors import CoreError

    try:
        run_edit(wanted, _Terminal())
    except (CoreError, ValueError) as error:
        raise UserError(str(error)) from error
    except OSError as error:
        raise UserError(f"{error.filename or 'a file'} cannot be written: {error.strerror}") from error


class _Terminal:
    """Results on standard output, notes and a bar on standard error."""

    def result(self, text: str) -> None:
        typer.echo(text)

    def note(self, text: str) -> None:
        typer.echo(text, err=True)

    @contextmanager
    def stages(self) -> Iterator[Step]:
        """A bar that renames itself with each stage."""
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("", total=None)
            yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)
