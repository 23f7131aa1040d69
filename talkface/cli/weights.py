"""`talkface weights`: list, verify and fetch the weights that features need."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from talkface.cli.from_options import from_options
from talkface.errors import UserError
from talkface.option import CheckedOptions, Option, PathUse
from talkface.terminal import TerminalConsole, say
from talkface.weights_fetch import (
    THIRD_PARTY,
    copy_weights,
    fetch_weights,
    find_third_party,
    sha256_of,
    weights_cache_folder,
)

weights_app = typer.Typer(
    help="List, verify and fetch weights: our face models, and the files of others that some features need.",
    no_args_is_help=True,
)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.add_typer(weights_app, name="weights")


HERE = "Where third-party weights are; the user's cache folder without it."


@dataclass(frozen=True, slots=True, kw_only=True)
class ListArguments(CheckedOptions):
    """Where `talkface weights list` looks."""

    folder: Annotated[Path | None, Option(HERE, path=PathUse.READ)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyArguments(CheckedOptions):
    """What `talkface weights verify` looks at."""

    names: Annotated[
        tuple[str, ...],
        Option(
            "Names or paths of face models, or names of third-party weights; without any: all here.",
            path=PathUse.READ,
            is_argument=True,
        ),
    ] = ()
    folder: Annotated[Path | None, Option(HERE, path=PathUse.READ)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchArguments(CheckedOptions):
    """What `talkface weights fetch` gets, from where."""

    name: Annotated[str, Option(f"One of {', '.join(THIRD_PARTY)}.", is_argument=True)]
    folder: Annotated[Path | None, Option(HERE, path=PathUse.WRITE_FOLDER)] = None
    from_file: Annotated[
        Path | None,
        Option("Take this local file instead of downloading; it is verified alike.", flag="--from", path=PathUse.READ),
    ] = None
    url: Annotated[str | None, Option("Another address of the same file, such as a mirror.")] = None
    sha256: Annotated[
        str | None, Option("Expect this SHA-256 instead of the pinned one: a file of another release.")
    ] = None


@weights_app.command("list")
@from_options()
def list_weights(wanted: ListArguments) -> None:
    """Show which weights are here and what the others are good for."""
    from rich.table import Table

    from talkface_core.shipped_weights import shipped_weights_folder

    folder = wanted.folder or weights_cache_folder()
    table = Table("weights", "here", "size", "for", "licence", box=None, padding=(0, 2, 0, 0))
    for name, purpose in (("default", "the face of calls"), ("general", "the start for other faces")):
        there = (shipped_weights_folder(name) / "config.json").exists()
        table.add_row(name, _mark(there), "", purpose, "Apache-2.0")
    for weights in THIRD_PARTY.values():
        path = folder / weights.file_name
        size = f"{weights.num_bytes / 1e6:.0f} MB"
        table.add_row(weights.name, _mark(path.exists()), size, weights.purpose, weights.licence)
    TerminalConsole().print(table)
    say(f"\nthird-party weights are kept in {folder}")


@weights_app.command("verify")
@from_options()
def verify_weights(wanted: VerifyArguments) -> None:
    """Check every file of weights that a call or `edit` takes; exits with 1 on the first that is wrong.

    Files are held against their SHA-256; face models, style tracks, directions and our small networks are loaded too.
    """
    from talkface.cli.weights_verify import names_here, verify, with_what_they_need

    folder = wanted.folder or weights_cache_folder()
    for name in with_what_they_need(list(wanted.names) or names_here(folder)):
        say(f"{name}: {verify(name, folder)}")


@weights_app.command("fetch")
@from_options()
def fetch(wanted: FetchArguments) -> None:
    """Fetch third-party weights from their official address and verify them.

    An interrupted download continues when the command is given again.
    """
    weights = find_third_party(wanted.name)
    expected = (wanted.sha256 or weights.sha256).lower()
    if not re.fullmatch(r"[0-9a-f]{64}", expected):
        raise UserError(f"--sha256 {wanted.sha256!r} is not 64 hexadecimal digits")
    target = (wanted.folder or weights_cache_folder()) / weights.file_name
    if target.exists() and sha256_of(target) == expected:
        say(f"{target} is here and whole")
        return
    if wanted.from_file is not None:
        copy_weights(wanted.from_file, target, expected)
    else:
        _fetch_with_progress(wanted.url or weights.url, target, expected)
    say(f"{target} ({weights.licence})")


def _fetch_with_progress(url: str, target: Path, expected: str) -> None:
    from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn, TransferSpeedColumn

    from talkface.stages import show_stages

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with show_stages(*columns, amount=lambda num_bytes: f"{num_bytes / 1e6:.1f} MB") as stage:
        fetch_weights(url, target, expected, lambda done, total: stage(target.name, done, total))


def _mark(is_here: bool) -> str:
    return "yes" if is_here else "no"
