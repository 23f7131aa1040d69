"""`talkface doctor`: what is missing on this machine and how to get it."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from talkface.terminal import TerminalConsole, say


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("doctor")(doctor)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Say what this machine has for a call, what is missing, and how to get it.

    Exits with 1 when something is missing that no call works without.
    """
    from rich.table import Table
    from rich.text import Text

    from talkface.doctor.check import State
    from talkface.doctor.run import run_checks

    checks = run_checks()
    if as_json:
        say(json.dumps([check.as_dict() for check in checks], indent=2))
    else:
        colours = {State.OK: "green", State.OPTIONAL: "yellow", State.MISSING: "red"}
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        for check in checks:
            state = Text(check.state.value, style=colours[check.state])
            table.add_row(state, check.name, check.found + (f"\n-> {check.fix}" if check.fix else ""))
        TerminalConsole().print(table)
    if any(check.state is State.MISSING for check in checks):
        raise typer.Exit(1)
