"""`talkface identity` and `talkface inspect` as a person uses them."""

from __future__ import annotations

import io
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from protocol.identity.key import OwnerKey
from protocol.identity.revocation import Revocation
from protocol.identity.sectioned import SectionedIdentity, sign_sections
from protocol.identity.words import key_fingerprint
from receiver.identity_store import IdentityStore
from talkface.cli.main import app
from talkface.errors import UserError
from talkface.identity.key_folder import KeyFolder

PHRASE = {"TALKFACE_PASSPHRASE": "a long enough phrase"}


@pytest.fixture(autouse=True)
def folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def run(*words: object, **options: Any) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], prog_name="talkface", **options)


def refusal(*words: object, **options: Any) -> str:
    result = run(*words, **options)
    assert isinstance(result.exception, UserError), (result.output, result.exception)
    return str(result.exception)


def somebody(key: OwnerKey, **changes: Any) -> SectionedIdentity:
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), (90, 120, 30)).save(picture, "JPEG")
    sections = {1: np.zeros(512, "<f2").tobytes(), 2: np.zeros(14 * 512, "<f2").tobytes(), 4: picture.getvalue()}
    fields: dict[str, Any] = {"name": "Ann", "weights_sha256": "ab" * 32, "latent_dim": 512}
    fields |= {"created": date(2026, 11, 26), "consent": "I may be drawn", "consent_day": date(2026, 11, 25)}
    fields |= {"is_synthetic": False, "shows_real_person": True}
    return sign_sections(key, sections | {9: b"later"}, **(fields | changes))


def test_without_a_key_nothing_is_made(tmp_path: Path) -> None:
    result = run("identity", "list")
    assert result.exit_code == 0
    assert "you have no key yet; it is made in" in result.output
    assert not (tmp_path / "config").exists()


def test_list_shows_the_key_and_faces_of_others(tmp_path: Path) -> None:
    key, other = KeyFolder().key(), OwnerKey.generate()
    store = IdentityStore(tmp_path / "cache" / "talkface" / "identities")
    store.save(somebody(key, name="Me"))
    face = somebody(other, name="Bob \x1b[31m[bold]")
    store.save(face)
    (store.folder / f"{'0' * 64}.identity").write_bytes(b"damaged")
    result = run("identity", "list")
    assert result.exit_code == 0
    assert f"your key: {key_fingerprint(key.public_key)}" in result.output
    assert "owner: you\n" in result.output
    assert key_fingerprint(other.public_key) in result.output
    assert "Bob ?[31m[bold]" in result.output
    assert f"{face.content_hash()[:12]}…" in result.output
    assert "left out" in result.output


@pytest.mark.parametrize("command", [("identity", "show"), ("inspect",)])
def test_show_says_what_the_file_says(command: tuple[str, ...], tmp_path: Path) -> None:
    key = KeyFolder().key()
    path = tmp_path / "me.tfid"
    identity = somebody(key)
    path.write_bytes(identity.to_bytes())
    result = run(*command, path)
    assert result.exit_code == 0, result.output
    for part in (
        "Ann",
        f"{key_fingerprint(key.public_key)} (yours)",
        "abababababab… (not among those that come with this program)",
        "2026-11-26",
        "a real person",
        "I may be drawn (2026-11-25)",
        "are marked as drawn",
        identity.content_hash(),
        "14336  offsets per layer",
        "5  part 9 of a later version",
        f"{len(identity.to_bytes())}  bytes in all",
    ):
        assert part in result.output, part
    assert "\u2580" not in result.output  # not a terminal


def test_a_picture_is_shown_where_the_terminal_can(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm-256color")
    path = tmp_path / "me.tfid"
    path.write_bytes(somebody(OwnerKey.generate()).to_bytes())
    result = run("inspect", path)
    assert "\u2580" in result.output
    path.write_bytes(sign_broken_picture().to_bytes())
    result = run("inspect", path)
    assert result.exit_code == 0
    assert "the picture of this identity cannot be read" in result.output


def sign_broken_picture() -> SectionedIdentity:
    return sign_sections(
        OwnerKey.generate(),
        {1: np.zeros(4, "<f2").tobytes(), 4: b"\xff\xd8\xff"},
        name="",
        weights_sha256="ab" * 32,
        latent_dim=4,
        created=date(2026, 11, 26),
        is_synthetic=True,
        shows_real_person=False,
    )


def test_version_1_and_shipped_weights_are_named(tmp_path: Path) -> None:
    from talkface.side.parts import default_identity_file
    from talkface_core.face.model import load_face_model

    path = tmp_path / "default.tfid"
    path.write_bytes(default_identity_file(load_face_model("default")).to_bytes())
    result = run("inspect", path)
    assert "default (" in result.output
    assert "1: a latent alone" in result.output


def test_files_that_cannot_be_shown(tmp_path: Path) -> None:
    path = tmp_path / "me.tfid"
    assert "cannot be read: No such file" in refusal("inspect", path)
    assert "cannot be read: Is a directory" in refusal("inspect", tmp_path)
    path.write_bytes(somebody(OwnerKey.generate()).to_bytes()[:-1])
    assert "truncated" in refusal("inspect", path)
    path.write_bytes(b"GIF89a")
    assert "this is another kind of file" in refusal("inspect", path)
    assert "is a device" in refusal("inspect", "/dev/zero")
    path.write_bytes(bytes(2_097_153))
    assert "2097153 bytes is over" in refusal("inspect", path)


def test_a_key_that_is_open_to_others_does_not_hide_a_file(tmp_path: Path) -> None:
    KeyFolder().key()
    KeyFolder().key_path.chmod(0o644)
    path = tmp_path / "me.tfid"
    path.write_bytes(somebody(OwnerKey.generate()).to_bytes())
    result = run("inspect", path)
    assert result.exit_code == 0
    assert "is open to others" in result.output
    assert "is open to others" in refusal("identity", "list")


def test_backup_and_restore(tmp_path: Path) -> None:
    assert "you have no key to back up yet" in refusal("identity", "backup", tmp_path / "key", env=PHRASE)
    key = KeyFolder().key()
    backup = tmp_path / "key.backup"
    assert run("identity", "backup", backup, env=PHRASE).exit_code == 0
    assert backup.stat().st_mode & 0o777 == 0o600
    assert "is there already" in refusal("identity", "backup", backup, env=PHRASE)
    assert "shorter than 10" in refusal("identity", "backup", tmp_path / "x", env={"TALKFACE_PASSPHRASE": "short"})
    KeyFolder().key_path.rename(tmp_path / "lost")
    wrong = {"TALKFACE_PASSPHRASE": "another phrase than that"}
    assert "another passphrase, or a damaged file" in refusal("identity", "restore", backup, env=wrong)
    assert KeyFolder().existing_key() is None
    result = run("identity", "restore", backup, env=PHRASE)
    assert key_fingerprint(key.public_key) in result.output
    assert KeyFolder().key().public_key == key.public_key


def test_a_passphrase_is_asked_for(tmp_path: Path) -> None:
    KeyFolder().key()
    backup = tmp_path / "key.backup"
    result = run("identity", "backup", backup, input="one long phrase\nanother phrase\nthe phrase\nthe phrase\n")
    assert result.exit_code == 0, result.output
    assert "the phrase" not in result.output
    assert run("identity", "restore", backup, input="the phrase\n").exit_code == 0


def test_revoke_asks_first_and_says_where_the_statement_is() -> None:
    assert "there is no key to revoke" in refusal("identity", "revoke")
    key = KeyFolder().key()
    assert run("identity", "revoke", input="n\n").exit_code == 1
    assert KeyFolder().existing_key() is not None
    assert "reason of 300 bytes is over 200" in refusal("identity", "revoke", "--yes", "--reason", "x" * 300)
    result = run("identity", "revoke", "--yes", "--reason", "stolen")
    assert result.exit_code == 0
    (path,) = KeyFolder().folder.glob("*.tfrv")
    assert str(path) in result.output
    assert Revocation.from_bytes(path.read_bytes()).public_key == key.public_key
    assert KeyFolder().existing_key() is None
