"""Identity files of version 2: one form, every limit, what has come is verified, and nothing else comes in."""

from __future__ import annotations

import hashlib
import random
import re
import struct
import tracemalloc
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import (
    BadMagicError,
    BadSignatureError,
    MalformedPacketError,
    PayloadTooLargeError,
    ProtocolError,
    TruncatedPacketError,
    UnsupportedVersionError,
)
from protocol.identity.file import MAX_FILE_BYTES, IdentityFile
from protocol.identity.header import MAX_HEADER_BYTES, PREFIX_BYTES, IdentityHeader
from protocol.identity.key import SIGNATURE_BYTES, OwnerKey
from protocol.identity.read import content_name, read_identity
from protocol.identity.sectioned import SectionedIdentity, sign_sections
from protocol.identity.sections import MAX_SECTION_BYTES, MAX_SECTIONS, MAX_SECTIONS_BYTES, SectionEntry, SectionKind
from protocol.messages import MAX_IDENTITY_BYTES

Z = struct.pack("<4e", 0, 0.25, 0.5, -0.75)
OFFSETS = struct.pack("<8e", *(0.125 * index for index in range(8)))
SECTIONS = {1: Z, 2: OFFSETS, 4: b"\xff\xd8\xff picture", 6: bytes(1000)}


def signed(key: OwnerKey, sections: dict[int, bytes] | None = None, **changes: Any) -> SectionedIdentity:
    fields: dict[str, Any] = {
        "name": "Ann",
        "weights_sha256": "ab" * 32,
        "latent_dim": 4,
        "created": date(2026, 11, 26),
        "consent": "I may be drawn",
        "is_synthetic": False,
        "shows_real_person": True,
    }
    return sign_sections(key, SECTIONS if sections is None else sections, **(fields | changes))


def repacked(key: OwnerKey, values: list[Any], sections: bytes = b"") -> bytes:
    """A file whose header holds any values at all, signed as it should be."""
    fields = msgpack.packb(values, use_bin_type=True)
    head = b"TFID\x02" + struct.pack(">H", len(fields)) + fields
    return head + key.sign(head) + sections


def header_values(identity: SectionedIdentity) -> list[Any]:
    values: list[Any] = msgpack.unpackb(identity.header.to_bytes()[PREFIX_BYTES:], raw=False)
    return values


def test_round_trip(owner_key: OwnerKey) -> None:
    identity = signed(owner_key, name="Ann Ω", consent_day=date(2026, 11, 1), allows_unmarked=True)
    data = identity.to_bytes()
    read = read_identity(data)
    assert read == identity
    assert isinstance(read, SectionedIdentity)
    assert read.to_bytes() == data
    assert read.is_whole
    assert (read.z, read.layer_offsets, read.num_layers) == (Z, OFFSETS, 2)
    assert read.section(SectionKind.THUMBNAIL) == SECTIONS[4]
    assert read.section(SectionKind.DETAIL) == b""
    assert read.header.size_bytes == len(data)
    assert read.header.allows_unmarked


def test_equal_content_is_equal_bytes(owner_key: OwnerKey) -> None:
    backwards = dict(reversed(SECTIONS.items()))
    assert signed(owner_key, backwards).to_bytes() == signed(owner_key).to_bytes()


def test_named_by_the_hash_of_its_head(owner_key: OwnerKey) -> None:
    identity = signed(owner_key)
    head = identity.to_bytes()[: identity.header.head_bytes]
    assert identity.content_hash() == hashlib.sha256(head).hexdigest() == content_name(identity.to_bytes())
    assert signed(owner_key, {**SECTIONS, 6: b"other"}).content_hash() != identity.content_hash()
    assert signed(OwnerKey.generate()).content_hash() != identity.content_hash()


def test_version_1_still_reads(examples: dict[str, Any]) -> None:
    for name in ("identity-fp32", "identity-fp16-layers"):
        read = read_identity(examples[name].data)
        assert read == examples[name].value
        assert isinstance(read, IdentityFile)
        assert content_name(examples[name].data) == read.content_hash()


def test_what_has_come_is_the_beginning_of_the_file(owner_key: OwnerKey) -> None:
    whole = signed(owner_key)
    data = whole.to_bytes()
    ends = [whole.header.head_bytes]
    for entry in whole.header.sections:
        ends.append(ends[-1] + entry.length)
    for length in range(whole.header.head_bytes, len(data) + 1):
        part = SectionedIdentity.from_beginning(data[:length])
        assert len(part.sections) == sum(end <= length for end in ends[1:])
        assert data.startswith(part.to_bytes())
        assert part.content_hash() == whole.content_hash()
        assert part.is_whole == (length == len(data))
    head = SectionedIdentity.from_beginning(data[: ends[0]])
    assert (head.z, head.layer_offsets, head.num_layers) == (b"", b"", 0)


def test_every_truncation_is_refused(owner_key: OwnerKey) -> None:
    data = signed(owner_key).to_bytes()
    for length in range(len(data)):
        with pytest.raises(TruncatedPacketError, match=r"truncated$"):
            read_identity(data[:length])


def test_every_flipped_bit_is_noticed(owner_key: OwnerKey) -> None:
    data = signed(owner_key, {1: Z, 2: OFFSETS}).to_bytes()
    for index in range(len(data)):
        for bit in range(8):
            with pytest.raises(ProtocolError):
                read_identity(data[:index] + bytes([data[index] ^ 1 << bit]) + data[index + 1 :])


def test_nothing_may_follow(owner_key: OwnerKey) -> None:
    with pytest.raises(MalformedPacketError, match="bytes after its end"):
        read_identity(signed(owner_key).to_bytes() + b"\0")


def test_sections_swapped_between_two_files(owner_key: OwnerKey) -> None:
    ann, bob = signed(owner_key), signed(OwnerKey.generate(), {**SECTIONS, 1: Z[::-1]})
    start = ann.header.head_bytes
    mixed = ann.to_bytes()[:start] + bob.to_bytes()[start:]
    with pytest.raises(MalformedPacketError, match="section 1 does not have the SHA-256 of the table"):
        read_identity(mixed)
    swapped = ann.to_bytes()[:start] + Z + SECTIONS[4] + OFFSETS + SECTIONS[6]
    with pytest.raises(MalformedPacketError, match="section 2 does not have the SHA-256 of the table"):
        read_identity(swapped)


def test_another_owner_cannot_take_it_over(owner_key: OwnerKey) -> None:
    thief = OwnerKey.generate()
    ann = signed(owner_key)
    with pytest.raises(BadSignatureError, match=r"^identity file signature does not fit: it was changed after"):
        replace(ann, header=replace(ann.header, public_key=thief.public_key))
    # Signed anew it is the thief's, under another name and another key: who looks at keys sees it.
    header = replace(ann.header, public_key=thief.public_key)
    stolen = SectionedIdentity(header, thief.sign(header.to_bytes()), ann.sections)
    assert stolen.content_hash() != ann.content_hash()


@pytest.mark.parametrize(
    ("at", "value", "error", "message"),
    [
        (0, b"RIFF", BadMagicError, "identity file magic is not TFID: this is another kind of file"),
        (4, b"\x03", UnsupportedVersionError, "identity file version 3 is unknown, this program reads 1 and 2"),
        (5, b"\x08\x01", PayloadTooLargeError, "identity file header of 2049 bytes is over 2048"),
        (5, b"\x00\x00", MalformedPacketError, "identity file fields are not one msgpack array"),
        (7, b"\xdd\xff\xff\xff\xff", MalformedPacketError, "identity file fields are not one msgpack array"),
    ],
)
def test_damaged_starts(owner_key: OwnerKey, at: int, value: bytes, error: type[ProtocolError], message: str) -> None:
    data = signed(owner_key).to_bytes()
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        read_identity(data[:at] + value + data[at + len(value) :])


ROW = [1, 8, hashlib.sha256(Z).digest()]


@pytest.mark.parametrize(
    ("index", "value", "message"),
    [
        (0, "x" * 65, "identity file name of 65 bytes is over 64"),
        (0, b"Ann", "identity file name is not text"),
        (1, b"short", "identity file weights_sha256 of 5 bytes is under 32"),
        (2, 0, "identity file latent_dim 0 is outside 1..1024"),
        (2, 2**63, f"identity file latent_dim {2**63} is outside 1..1024"),
        (3, 33, "identity file num_layers 33 is outside 0..32"),
        (3, 2, "identity file section OFFSETS has 0 bytes, 8 values need 16"),
        (4, bytes(33), "identity file public_key of 33 bytes is over 32"),
        (5, 65536, "identity file created 65536 is outside 0..65535"),
        (5, -1, "identity file created -1 is outside 0..65535"),
        (6, "", "identity file consent is empty, a face of a real person needs a statement"),
        (6, " \n", "identity file consent is empty, a face of a real person needs a statement"),
        (6, "x" * 501, "identity file consent of 501 bytes is over 500"),
        (7, 20784, "identity file consent_day is after created"),
        (8, 1, "identity file is_synthetic is not a boolean"),
        (11, [], "identity file sections has 0 entries, must be 1..16"),
        (11, [ROW] * 17, "identity file sections is not an array of at most 16"),
        (11, [ROW, ROW], "identity file sections kind 1 after 1: kinds must ascend to 255 at most"),
        (11, [[256, *ROW[1:]]], "identity file sections kind 256 after 0: kinds must ascend to 255 at most"),
        (11, [[2, *ROW[1:]]], "identity file sections does not begin with the latent"),
        (11, [[True, *ROW[1:]]], "identity file sections kind is not an integer"),
        (11, [[1, 0, ROW[2]]], "identity file sections section 1 of 0 bytes is empty"),
        (11, [[1, 10, ROW[2]]], "identity file section LATENT has 10 bytes, 4 values need 8"),
        (11, [[1, 2049, ROW[2]]], "identity file sections section 1 of 2049 bytes is over 2048"),
        (11, [ROW, [4, 2**63, ROW[2]]], f"identity file sections section 4 of {2**63} bytes is over 16384"),
        (11, [ROW, [9, 2**31, ROW[2]]], f"identity file sections section 9 of {2**31} bytes is over 2093056"),
        (
            11,
            [ROW, [8, 2_000_000, ROW[2]], [9, 2_000_000, ROW[2]]],
            "identity file sections of 4000008 bytes together is over 2093056",
        ),
        (11, [[1, 8]], "identity file sections holds a row that is not kind, length and SHA-256"),
        (11, "ROW", "identity file sections is not an array of at most 16"),
    ],
)
def test_absurd_headers(owner_key: OwnerKey, index: int, value: Any, message: str) -> None:
    values = header_values(signed(owner_key, {1: Z}))
    values[index] = value
    with pytest.raises(ProtocolError, match=f"^{re.escape(message)}$"):
        read_identity(repacked(owner_key, values, Z))


def test_a_header_has_one_form(owner_key: OwnerKey) -> None:
    values = header_values(signed(owner_key, {1: Z}))
    assert read_identity(repacked(owner_key, values, Z))
    with pytest.raises(MalformedPacketError, match="holds more fields than version 2 has"):
        read_identity(repacked(owner_key, [*values, 1], Z))
    with pytest.raises(TruncatedPacketError, match="sections missing"):
        read_identity(repacked(owner_key, values[:-1], Z))
    # The same array with its length spelt in three bytes instead of one.
    fields = msgpack.packb(values, use_bin_type=True)
    longer = b"\xdc\x00\x0c" + fields[1:]
    head = b"TFID\x02" + struct.pack(">H", len(longer)) + longer
    with pytest.raises(MalformedPacketError, match="header is not in its one form"):
        read_identity(head + owner_key.sign(head) + Z)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({2: OFFSETS}, "sections does not begin with the latent"),
        ({1: struct.pack("<4e", 0, 0, float("nan"), 0)}, "section 1 holds a value outside"),
        ({1: struct.pack("<4e", 0, 0, 1001, 0)}, "section 1 holds a value outside"),
        ({1: Z, 2: struct.pack("<4e", 0, 0, float("inf"), 0)}, "section 2 holds a value outside"),
        ({1: Z, 2: OFFSETS[:-2]}, "section OFFSETS has 14 bytes, 4 values need 8"),
        ({1: Z, 4: b"GIF89a"}, "section 4 is not a JPEG or WebP picture"),
        ({1: Z, 5: b""}, "section 5 of 0 bytes is empty"),
        ({1: Z, 5: bytes(65537)}, "section 5 of 65537 bytes is over 65536"),
    ],
)
def test_limits_hold_when_signing(owner_key: OwnerKey, sections: dict[int, bytes], message: str) -> None:
    with pytest.raises(ProtocolError, match=re.escape(message)):
        signed(owner_key, sections)


def test_a_time_is_not_a_day(owner_key: OwnerKey) -> None:
    with pytest.raises(MalformedPacketError, match="created is not a day"):
        signed(owner_key, created=datetime(2026, 11, 26))


def test_the_largest_file(owner_key: OwnerKey) -> None:
    sections: dict[int, bytes] = {1: bytes(2048), 2: bytes(32 * 2048), 4: b"RIFF" + bytes(16380), 5: bytes(65536)}
    sections |= {8 + index: b"x" for index in range(MAX_SECTIONS - 5)}
    sections[6] = bytes(MAX_SECTIONS_BYTES - sum(map(len, sections.values())))
    identity = signed(owner_key, sections, latent_dim=1024, name="n" * 64, consent="c" * 500)
    data = identity.to_bytes()
    assert identity.header.head_bytes <= PREFIX_BYTES + MAX_HEADER_BYTES + SIGNATURE_BYTES
    assert MAX_FILE_BYTES < len(data) <= MAX_IDENTITY_BYTES
    assert read_identity(data) == identity
    assert set(MAX_SECTION_BYTES) <= set(SectionKind)
    with pytest.raises(PayloadTooLargeError):
        read_identity(bytes(MAX_IDENTITY_BYTES + 1))


def test_a_refused_header_costs_no_memory(owner_key: OwnerKey) -> None:
    values = header_values(signed(owner_key, {1: Z}))
    values[-1] = [ROW, [8, 2**62, ROW[2]]]
    data = repacked(owner_key, values, Z)
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError):
            read_identity(data)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_mutated_files_that_are_signed_again(owner_key: OwnerKey) -> None:
    """A hostile owner signs anything: what is accepted must be canonical, everything else a ProtocolError."""
    rng = random.Random(11)
    identity = signed(owner_key)
    original, end = identity.to_bytes(), identity.header.head_bytes - SIGNATURE_BYTES
    accepted = 0
    for _ in range(3000):
        head = bytearray(original[:end])
        for _ in range(rng.randint(1, 3)):
            head[rng.randrange(PREFIX_BYTES, end)] = rng.randrange(256)
        data = bytes(head) + owner_key.sign(bytes(head)) + original[end + SIGNATURE_BYTES :]
        try:
            read = read_identity(data)
        except ProtocolError:
            continue
        accepted += 1
        assert read.to_bytes() == data
    assert 0 < accepted < 3000


any_value = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(values=st.lists(any_value, max_size=14), rest=st.binary(max_size=40))
def test_any_signed_header(values: list[Any], rest: bytes) -> None:
    key = OwnerKey.from_seed(bytes(32))
    with pytest.raises(ProtocolError):
        read_identity(repacked(key, values, rest))


@settings(max_examples=300, deadline=None)
@given(index=st.integers(0, 11), value=any_value)
def test_any_value_in_a_signed_header(index: int, value: Any) -> None:
    key = OwnerKey.from_seed(bytes(32))
    values = header_values(signed(key, {1: Z}))
    values[index] = value
    data = repacked(key, values, Z)
    try:
        read = read_identity(data)
    except ProtocolError:
        return
    assert read.to_bytes() == data


def test_entries_are_checked_when_made(owner_key: OwnerKey) -> None:
    header = signed(owner_key).header
    with pytest.raises(MalformedPacketError, match="sections sha256 is not a SHA-256"):
        replace(header, sections=(SectionEntry(1, 8, "ab"),))
    with pytest.raises(MalformedPacketError, match="has 3 bytes, not 8"):
        SectionedIdentity(header, owner_key.sign(header.to_bytes()), (b"abc",))
    with pytest.raises(MalformedPacketError, match="more sections than its table"):
        SectionedIdentity(header, owner_key.sign(header.to_bytes()), (*SECTIONS.values(), b""))
    assert IdentityHeader.from_bytes(header.to_bytes()) == header
