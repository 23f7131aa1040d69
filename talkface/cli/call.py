"""`talkface send`, `receive` and `call`: one side of a call; the other side is another process or machine."""

from __future__ import annotations

import typer

from talkface.cli.from_options import from_options
from talkface.options import Role, SideOptions


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("send")(send)
    app.command("receive")(receive)
    app.command("call")(call)


@from_options(
    given={"role": Role.SEND},
    without=("watching_preset", "sink", "runtime", "cache_folder"),
    last=("clock_ppm",),
)
def send(side: SideOptions) -> None:
    """Speak: send sound and style to the other end of a room."""
    _run(side)


@from_options(given={"role": Role.RECEIVE}, without=("source",))
def receive(side: SideOptions) -> None:
    """Watch: hear the other end of a room and draw its face."""
    _run(side)


@from_options(given={"role": Role.CALL}, without=("watching_preset",), last=("clock_ppm",))
def call(side: SideOptions) -> None:
    """Both: speak to the other end of a room, hear it and draw its face."""
    _run(side)


def _run(side: SideOptions) -> None:
    from talkface.call import run_side

    run_side(side)
