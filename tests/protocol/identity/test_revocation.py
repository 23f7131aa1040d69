"""Revocations: only the key's owner can make one, and nothing else is read as one."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from protocol.errors import (
    BadMagicError,
    BadSignatureError,
    MalformedPacketError,
    PayloadTooLargeError,
    ProtocolError,
    TruncatedPacketError,
    UnsupportedVersionError,
)
from protocol.identity.key import OwnerKey
from protocol.identity.revocation import MAX_REVOCATION_BYTES, Revocation, revoke

DAY = date(2026, 11, 26)


def test_round_trip(owner_key: OwnerKey) -> None:
    statement = revoke(owner_key, DAY, "the laptop was stolen – Ann")
    data = statement.to_bytes()
    assert Revocation.from_bytes(data) == statement
    assert data.startswith(b"TFRV\x01" + owner_key.public_key)
    assert len(revoke(owner_key, DAY, "x" * 200).to_bytes()) == MAX_REVOCATION_BYTES


def test_every_changed_bit_and_every_truncation_is_noticed(owner_key: OwnerKey) -> None:
    data = revoke(owner_key, DAY, "lost").to_bytes()
    for index in range(len(data)):
        for bit in range(8):
            with pytest.raises(ProtocolError):
                Revocation.from_bytes(data[:index] + bytes([data[index] ^ 1 << bit]) + data[index + 1 :])
        with pytest.raises((TruncatedPacketError, MalformedPacketError)):
            Revocation.from_bytes(data[:index])


def test_nobody_else_can_revoke(owner_key: OwnerKey) -> None:
    with pytest.raises(BadSignatureError, match="the owner of that key did not say this"):
        replace(revoke(OwnerKey.generate(), DAY, ""), public_key=owner_key.public_key)


def test_other_files(owner_key: OwnerKey) -> None:
    data = revoke(owner_key, DAY, "").to_bytes()
    with pytest.raises(BadMagicError):
        Revocation.from_bytes(b"TFID" + data[4:])
    with pytest.raises(UnsupportedVersionError, match="version 2 is unknown"):
        Revocation.from_bytes(data[:4] + b"\x02" + data[5:])
    with pytest.raises(MalformedPacketError, match="should have 104"):
        Revocation.from_bytes(data + b"x")
    with pytest.raises(PayloadTooLargeError):
        Revocation.from_bytes(bytes(MAX_REVOCATION_BYTES + 1))
    with pytest.raises(PayloadTooLargeError, match="revocation reason of 201 bytes is over 200"):
        revoke(owner_key, DAY, "x" * 201)
