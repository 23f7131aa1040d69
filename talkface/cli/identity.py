"""`talkface identity` and `talkface inspect`: the user's key, and what identity files say."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from talkface.cli.from_options import from_options
from talkface.errors import UserError
from talkface.option import CheckedOptions, Option, PathUse
from talkface.terminal import TerminalConsole, one_line, say, warn

if TYPE_CHECKING:
    from protocol.identity.read import AnyIdentity

identity_app = typer.Typer(
    help="Your key, with which your faces are signed, and the identities on this machine.",
    no_args_is_help=True,
)
PASSPHRASE = "What the backup is locked with; asked for without it. Prefer the variable."
PASSPHRASE_VARIABLE = "TALKFACE_PASSPHRASE"


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.add_typer(identity_app, name="identity")
    app.command("inspect")(show_identity)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListArguments(CheckedOptions):
    """Where `talkface identity list` looks for faces of others."""

    cache_folder: Annotated[
        Path | None,
        Option("Where faces of people you called are kept; the user's cache folder without it.", path=PathUse.READ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowArguments(CheckedOptions):
    """What `talkface identity show` shows."""

    file: Annotated[Path, Option("An identity file, such as me.tfid.", path=PathUse.READ, is_argument=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupArguments(CheckedOptions):
    """Where `talkface identity backup` writes."""

    file: Annotated[
        Path, Option("The backup to write; an existing file is left alone.", path=PathUse.WRITE_FILE, is_argument=True)
    ]
    passphrase: Annotated[str | None, Option(PASSPHRASE, environment=PASSPHRASE_VARIABLE)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreArguments(CheckedOptions):
    """What `talkface identity restore` reads."""

    file: Annotated[Path, Option("A backup of your key.", path=PathUse.READ, is_argument=True)]
    passphrase: Annotated[str | None, Option(PASSPHRASE, environment=PASSPHRASE_VARIABLE)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeArguments(CheckedOptions):
    """What `talkface identity revoke` states."""

    reason: Annotated[str, Option("Why, for those who read the statement.")] = ""
    yes: Annotated[bool, Option("Do not ask.", flag="--yes")] = False


@identity_app.command("list")
@from_options()
def list_identities(wanted: ListArguments) -> None:
    """Show your key in words, and the identities that this machine has."""
    from protocol.identity.words import key_fingerprint
    from receiver.identity_store import SUFFIX
    from talkface.identity.describe import load_identity_file
    from talkface.identity.folders import identity_cache_folder
    from talkface.identity.key_folder import KeyFolder

    keys = KeyFolder()
    key = keys.existing_key()
    if key is None:
        say(f"you have no key yet; it is made in {keys.folder} when you first sign a face")
    else:
        say(f"your key: {key_fingerprint(key.public_key)}\nkept in {keys.key_path}")
    folder = wanted.cache_folder or identity_cache_folder()
    for path in [*sorted(keys.folder.glob("*.tfid")), *sorted(folder.glob(f"*{SUFFIX}"))]:
        try:
            identity = load_identity_file(path)
        except UserError as error:
            warn(f"left out: {error}")
            continue
        is_own = key is not None and identity.public_key == key.public_key
        owner = "you" if is_own else key_fingerprint(identity.public_key)
        name, num_bytes = one_line(identity.name) or "(no name)", len(identity.to_bytes())
        say(f"\n{name}\n  {num_bytes} bytes, content hash {identity.content_hash()[:12]}…\n  owner: {owner}")
    say(f"\nfaces of people you called are kept in {folder}")


@identity_app.command("show")
@from_options()
def show_identity(wanted: ShowArguments) -> None:
    """Show what an identity file says: whose it is, its picture, sizes, dates, statements.

    The signature says that the file is as the owner of the key made it. Compare the key's words with that person.
    """
    from talkface.identity.describe import facts_of, load_identity_file, sizes_of
    from talkface.identity.key_folder import KeyFolder

    identity = load_identity_file(wanted.file)
    try:
        key = KeyFolder().existing_key()
    except UserError as error:  # the file can be shown all the same
        warn(f"note: {error}")
        key = None
    _show_picture(identity)
    for name, value in facts_of(identity, None if key is None else key.public_key):
        say(f"{name:<18}{value}")
    say("")
    for name, num_bytes in sizes_of(identity):
        say(f"{num_bytes:>9}  {name}")
    say(f"{len(identity.to_bytes()):>9}  bytes in all")


@identity_app.command("backup")
@from_options()
def backup_key(wanted: BackupArguments) -> None:
    """Write your key to a file that opens with a passphrase only.

    Who has both can sign faces as you; without a backup, a lost key cannot be replaced.
    """
    from protocol.identity.backup import lock_key
    from talkface.identity.key_folder import KeyFolder, write_new

    key = KeyFolder().existing_key()
    if key is None:
        raise UserError("you have no key to back up yet", "it is made when you first sign a face")
    passphrase = wanted.passphrase
    if passphrase is None:
        passphrase = typer.prompt("Passphrase", hide_input=True, confirmation_prompt=True, err=True)
    try:
        write_new(wanted.file, lock_key(key, passphrase))
    except FileExistsError as error:
        raise UserError(f"{wanted.file} is there already", "name a new file") from error
    except OSError as error:
        raise UserError(f"{wanted.file} cannot be written: {error.strerror}") from error
    except ValueError as error:
        raise UserError(str(error)) from error
    say(f"your key is in {wanted.file}, locked; keep it away from this machine")


@identity_app.command("restore")
@from_options()
def restore_key(wanted: RestoreArguments) -> None:
    """Take your key from a backup, on a new machine or after a loss; another key is never overwritten."""
    from protocol.errors import ProtocolError
    from protocol.identity.backup import BACKUP_BYTES, unlock_key
    from protocol.identity.words import key_fingerprint
    from talkface.identity.key_folder import KeyFolder

    try:
        with wanted.file.open("rb") as file:
            data = file.read(BACKUP_BYTES + 1)
    except OSError as error:
        raise UserError(f"{wanted.file} cannot be read: {error.strerror}") from error
    passphrase = wanted.passphrase
    if passphrase is None:
        passphrase = typer.prompt("Passphrase", hide_input=True, err=True)
    try:
        key = unlock_key(data, passphrase)
    except ProtocolError as error:
        raise UserError(f"{wanted.file}: {error}") from error
    keys = KeyFolder()
    keys.restore(key)
    say(f"your key: {key_fingerprint(key.public_key)}\nkept in {keys.key_path}")


@identity_app.command("revoke")
@from_options()
def revoke_key(wanted: RevokeArguments) -> None:
    """State, signed, that your key counts no more, and put it aside; the next face is signed with a new key.

    Send the statement to those who know your key: nobody learns of it otherwise.
    """
    from protocol.errors import ProtocolError
    from protocol.identity.words import key_fingerprint
    from talkface.identity.key_folder import KeyFolder

    keys = KeyFolder()
    key = keys.existing_key()
    if key is not None and not wanted.yes:
        words = key_fingerprint(key.public_key)
        typer.confirm(f"Revoke the key {words}? This cannot be undone", abort=True, err=True)
    try:
        statement, path = keys.revoke(date.today(), wanted.reason)
    except ProtocolError as error:
        raise UserError(f"--reason: {error}") from error
    except OSError as error:
        raise UserError(f"the statement cannot be written in {keys.folder}: {error.strerror}") from error
    say(f"revoked: {key_fingerprint(statement.public_key)}\nthe statement is {path}; send it to your peers")


def _show_picture(identity: AnyIdentity) -> None:
    """The picture inside, where there is one and the terminal can show it."""
    from protocol.identity.sectioned import SectionedIdentity
    from protocol.identity.sections import SectionKind
    from talkface.identity.preview import preview_of

    console = TerminalConsole()
    if not isinstance(identity, SectionedIdentity) or console.color_system != "truecolor":
        return
    if thumbnail := identity.section(SectionKind.THUMBNAIL):
        try:
            console.print(preview_of(thumbnail))
        except UserError as error:
            warn(f"note: {error}")
