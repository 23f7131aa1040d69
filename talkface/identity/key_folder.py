"""The key with which this user signs identities: made at first use, kept in the configuration folder, theirs alone.

    $XDG_CONFIG_HOME/talkface/identity/            0700
        owner_key.pem                              0600, PKCS #8
        revoked-2026-11-26-1a2b3c4d.pem            0600, a key that was revoked
        revoked-2026-11-26-1a2b3c4d.tfrv           the statement that it was

A key that others can read is not used: whoever copied it can sign faces as this user.
"""

from __future__ import annotations

import os
import stat
import tempfile
from datetime import date
from pathlib import Path

from protocol.identity.key import OwnerKey
from protocol.identity.revocation import Revocation, revoke
from talkface.errors import UserError
from talkface.identity.folders import identity_folder

KEY_NAME = "owner_key.pem"
MAX_KEY_FILE_BYTES = 4096


class KeyFolder:
    """The folder with this user's key. Nothing is made or looked at before a method needs it."""

    def __init__(self, folder: Path | None = None) -> None:
        """Args:
        folder: `identity_folder()` without it.
        """
        self.folder = folder or identity_folder()

    @property
    def key_path(self) -> Path:
        return self.folder / KEY_NAME

    def key(self) -> OwnerKey:
        """This user's key; made when there is none.

        Raises:
            UserError: folder or key are open to others, damaged, or cannot be written.
        """
        return self.existing_key() or self._keep(OwnerKey.generate())

    def existing_key(self) -> OwnerKey | None:
        """This user's key, or None when there is none yet.

        Raises:
            UserError: folder or key are open to others, or damaged.
        """
        try:
            self._check_private(self.folder, "700")
            self._check_private(self.key_path, "600")
            with self.key_path.open("rb") as file:
                pem = file.read(MAX_KEY_FILE_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UserError(f"your key {self.key_path} cannot be read: {error.strerror}") from error
        try:
            return OwnerKey.from_pem(pem)
        except ValueError as error:
            raise UserError(
                f"your key {self.key_path} is damaged ({error})",
                "move the file away and run `talkface identity restore` with a backup; without one, a new key is made",
            ) from error

    def restore(self, key: OwnerKey) -> None:
        """Keep a key from a backup.

        Raises:
            UserError: there is another key already, or the folder cannot be written.
        """
        present = self.existing_key()
        if present is None:
            present = self._keep(key)
        if present.public_key != key.public_key:
            raise UserError(
                f"there is another key already, {self.key_path}",
                "back it up with `talkface identity backup` and move it away, or revoke it, then restore again",
            )

    def revoke(self, day: date, reason: str) -> tuple[Revocation, Path]:
        """Sign that the key counts no more, and move it aside; the next use makes a new one.

        Returns:
            The statement and where it was written.

        Raises:
            UserError: there is no key, or the folder cannot be written.
            ProtocolError: the reason is too long.
        """
        key = self.existing_key()
        if key is None:
            raise UserError(f"there is no key to revoke in {self.folder}")
        statement = revoke(key, day, reason)
        aside = self.folder / f"revoked-{day.isoformat()}-{key.public_key.hex()[:8]}"
        path = aside.with_suffix(".tfrv")
        # The statement first: a key that is gone cannot make one.
        write_new(path, statement.to_bytes(), mode=0o644)
        try:
            self.key_path.rename(aside.with_suffix(".pem"))
        except OSError as error:
            raise UserError(f"your key {self.key_path} cannot be moved: {error.strerror}") from error
        return statement, path

    def _keep(self, key: OwnerKey) -> OwnerKey:
        """Write a key unless another process was faster; returns the one that is kept."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._check_private(self.folder, "700")
            write_new(self.key_path, key.to_pem())
        except FileExistsError:
            existing = self.existing_key()
            assert existing is not None
            return existing
        except OSError as error:
            raise UserError(
                f"your key cannot be kept in {self.folder}: {error.strerror}",
                "make the folder writable, or name another one with XDG_CONFIG_HOME",
            ) from error
        return key

    def _check_private(self, path: Path, mode: str) -> None:
        """Refuse what is not this user's, or open to others; a link is not followed."""
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            raise UserError(f"{path} is a link", "your key must lie in a folder of your own; put the file itself there")
        if hasattr(os, "getuid") and status.st_uid != os.getuid():
            raise UserError(f"{path} belongs to another user", "your key must be yours; give it back with chown")
        if status.st_mode & 0o077:
            raise UserError(
                f"{path} is open to others (mode {stat.S_IMODE(status.st_mode):03o}): they could sign as you",
                f"run `chmod {mode} {path}`; if somebody may have copied the key, run `talkface identity revoke` then",
            )


def write_new(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Write a file that must not be there yet; it appears whole or not at all.

    Raises:
        FileExistsError: it is there.
        OSError: it cannot be written; nothing is left behind.
    """
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=".partial-")  # 0600 from the first moment
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.link(partial, path)
    finally:
        os.unlink(partial)
