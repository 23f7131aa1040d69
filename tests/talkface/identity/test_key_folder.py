"""A key that lasts: made once, private, refused loudly where it is not, set aside when it is revoked."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pytest

from protocol.identity.key import OwnerKey
from protocol.identity.revocation import Revocation
from talkface.errors import UserError
from talkface.identity.folders import identity_folder
from talkface.identity.key_folder import KeyFolder, write_new

DAY = date(2026, 11, 26)


@pytest.fixture
def keys(tmp_path: Path) -> KeyFolder:
    return KeyFolder(tmp_path / "config" / "talkface" / "identity")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_key_is_made_at_first_use_and_kept(keys: KeyFolder) -> None:
    old_umask = os.umask(0)  # whatever the user's is, the key is private
    try:
        assert keys.existing_key() is None
        assert not keys.folder.exists()
        key = keys.key()
    finally:
        os.umask(old_umask)
    assert KeyFolder(keys.folder).key().public_key == key.public_key
    assert (mode(keys.folder), mode(keys.key_path)) == (0o700, 0o600)
    assert os.listdir(keys.folder) == ["owner_key.pem"]


def test_many_at_once_agree_on_one_key(keys: KeyFolder) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: KeyFolder(keys.folder).key().public_key, range(8)))
    assert len(set(found)) == 1


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660, 0o606, 0o620])
def test_a_key_that_others_can_touch_is_refused(keys: KeyFolder, bits: int) -> None:
    keys.key()
    keys.key_path.chmod(bits)
    with pytest.raises(UserError, match=rf"owner_key\.pem is open to others \(mode {bits:o}\).*Run `chmod 600 "):
        keys.key()
    keys.key_path.chmod(0o600)
    assert keys.key()


def test_a_folder_that_others_can_enter_is_refused(keys: KeyFolder) -> None:
    keys.folder.mkdir(parents=True)
    keys.folder.chmod(0o755)
    with pytest.raises(UserError, match=r"identity is open to others \(mode 755\).*Run `chmod 700 "):
        keys.key()
    assert os.listdir(keys.folder) == []


def test_a_link_is_not_followed(keys: KeyFolder, tmp_path: Path) -> None:
    other = KeyFolder(tmp_path / "other")
    other.key()
    keys.folder.mkdir(parents=True, mode=0o700)
    keys.key_path.symlink_to(other.key_path)
    with pytest.raises(UserError, match="is a link"):
        keys.key()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\n", bytes(100_000)])
def test_a_damaged_key_is_not_replaced(keys: KeyFolder, content: bytes) -> None:
    keys.key()
    keys.key_path.write_bytes(content)
    with pytest.raises(UserError, match=r"is damaged .*talkface identity restore"):
        keys.key()
    assert keys.key_path.read_bytes() == content


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match=r"cannot be kept in .*XDG_CONFIG_HOME"):
        KeyFolder(tmp_path / "identity").key()
    tmp_path.chmod(0o700)


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "talkface").write_bytes(b"")
    with pytest.raises(UserError, match=r"talkface/identity.*Not a directory"):
        KeyFolder(tmp_path / "talkface" / "identity").key()


def test_restoring_never_overwrites_another_key(keys: KeyFolder) -> None:
    key = OwnerKey.generate()
    keys.restore(key)
    keys.restore(key)
    assert keys.key().public_key == key.public_key
    with pytest.raises(UserError, match="there is another key already"):
        keys.restore(OwnerKey.generate())
    assert keys.key().public_key == key.public_key


def test_revoking_sets_the_key_aside(keys: KeyFolder) -> None:
    key = keys.key()
    statement, path = keys.revoke(DAY, "stolen")
    assert Revocation.from_bytes(path.read_bytes()) == statement
    assert (statement.public_key, statement.reason, statement.day) == (key.public_key, "stolen", DAY)
    assert keys.existing_key() is None
    aside = path.with_suffix(".pem")
    assert mode(aside) == 0o600
    assert OwnerKey.from_pem(aside.read_bytes()).public_key == key.public_key
    assert keys.key().public_key != key.public_key
    with pytest.raises(UserError, match="there is no key to revoke"):
        KeyFolder(keys.folder / "empty").revoke(DAY, "")


def test_where_the_folder_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert identity_folder() == tmp_path / "talkface" / "identity"
    assert KeyFolder().folder == identity_folder()
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert identity_folder().is_relative_to(tmp_path)


def test_new_files_are_whole_and_never_replace(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_new(path, b"one")
    with pytest.raises(FileExistsError):
        write_new(path, b"two")
    assert path.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["file"]
