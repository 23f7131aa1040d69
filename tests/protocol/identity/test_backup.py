"""Backups of a key: open with the passphrase and with nothing else."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from protocol.errors import BadMagicError, ProtocolError, TruncatedPacketError, UnsupportedVersionError
from protocol.identity.backup import BACKUP_BYTES, WrongPassphraseError, lock_key, unlock_key
from protocol.identity.key import OwnerKey

PHRASE = "correct horse Ω"


@pytest.fixture(scope="module")
def backup() -> bytes:
    return lock_key(OwnerKey.from_seed(bytes(range(32))), PHRASE)


def test_round_trip(backup: bytes) -> None:
    assert len(backup) == BACKUP_BYTES == 81
    assert unlock_key(backup, PHRASE).seed == bytes(range(32))
    assert lock_key(OwnerKey.from_seed(bytes(32)), PHRASE)[5:33] != backup[5:33]  # salt and nonce are new each time


def test_a_known_backup_opens_for_ever() -> None:
    data = bytes.fromhex(
        "54464b4201194c03e211f9d3cb04b38f2e2b79cf345927b229019bd1458f3105fe12b43d0f0862a67cf05d3290"
        "235ea17c5d2b50c9ec48a4052db56dfb2a8ed6d62e22020cc9247eaace39266400ad719a"
    )
    assert unlock_key(data, "naïve café au lait").seed == bytes(range(32))
    assert unlock_key(data, "nai\u0308ve cafe\u0301 au lait").seed == bytes(range(32))  # accents spelt apart


def test_another_passphrase_and_damage_are_refused_in_bounded_time(backup: bytes) -> None:
    began = time.monotonic()
    tracemalloc.start()
    try:
        for data, phrase in (
            (backup, PHRASE + "x"),
            (backup, ""),
            (backup[:10] + b"\0\0" + backup[12:], PHRASE),
            (backup[:-1] + bytes([backup[-1] ^ 1]), PHRASE),
        ):
            with pytest.raises(WrongPassphraseError, match="another passphrase, or a damaged file"):
                unlock_key(data, phrase)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert time.monotonic() - began < 30


def test_other_files(backup: bytes) -> None:
    with pytest.raises(BadMagicError):
        unlock_key(b"TFID" + backup[4:], PHRASE)
    with pytest.raises(UnsupportedVersionError, match="version 2 is unknown"):
        unlock_key(backup[:4] + b"\x02" + backup[5:], PHRASE)
    for length in (0, 4, 5, 80):
        with pytest.raises(ProtocolError):
            unlock_key(backup[:length], PHRASE)
    with pytest.raises(TruncatedPacketError):
        unlock_key(backup + b"\0", PHRASE)


def test_a_short_passphrase_is_not_taken() -> None:
    with pytest.raises(ValueError, match="shorter than 10 characters"):
        lock_key(OwnerKey.generate(), "short")
