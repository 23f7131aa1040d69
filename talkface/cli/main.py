"""The `talkface` command: registers the commands and turns errors into a line and an exit code."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from talkface.cli import call, doctor, edit, evaluate, identity, loopback, prepare, train, weights
from talkface.cli.signal import signal_command
from talkface.program import run_to_exit

app = typer.Typer(
    name="talkface",
    help="Calls in which only sound crosses the network and a talking face appears at the far end.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"talkface {version('talkface')}")
        raise typer.Exit


@app.callback()
def _root(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Root of the commands; only --version lives here."""


loopback.register(app)
call.register(app)
app.command("signal")(signal_command)
doctor.register(app)
prepare.register(app)
train.register(app)
evaluate.register(app)
edit.register(app)
identity.register(app)
weights.register(app)


def main() -> None:
    """Entry point of the console script."""
    run_to_exit(app)


if __name__ == "__main__":
    main()
