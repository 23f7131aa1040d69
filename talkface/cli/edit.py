"""`talkface edit`: open the mouth, blink, turn the head: a strip of pictures and a short film (paper section IV)."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import typer

from talkface.cli.from_options import from_options
from talkface.edit.options import EditOptions
from talkface.errors import UserError
from talkface.terminal import say, warn

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
    """Results on standard output, notes and progress on standard error."""

    def result(self, text: str) -> None:
        say(text)

    def note(self, text: str) -> None:
        warn(text)

    def stages(self) -> AbstractContextManager[Step]:
        """Says how far each stage is."""
        from talkface.stages import show_stages

        return show_stages()
