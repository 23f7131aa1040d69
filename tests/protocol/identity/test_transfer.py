"""An identity crosses in chunks: whole, resumed, repeated, and by a peer that lies."""

from __future__ import annotations

import struct
from datetime import date

import pytest

from protocol.errors import MalformedPacketError, ProtocolError
from protocol.identity.file import IdentityFile, NumberFormat, sign_identity
from protocol.identity.key import OwnerKey
from protocol.identity.sectioned import SectionedIdentity, sign_sections
from protocol.identity.transfer import IdentityAssembler, identity_chunks, offer_identity
from protocol.messages import MAX_CHUNK_BYTES, IdentityData, IdentityOffer, IdentityRequest


@pytest.fixture
def file(owner_key: OwnerKey) -> IdentityFile:
    """About 61 kB: four chunks."""
    return sign_identity(
        owner_key,
        name="Ann",
        weights_sha256="ab" * 32,
        latent_dim=512,
        number_format=NumberFormat.FLOAT32,
        z=struct.pack("<512f", *range(512)),
        num_layers=29,
        layer_offsets=bytes(29 * 2048),
    )


def test_whole_transfer(file: IdentityFile) -> None:
    data = file.to_bytes()
    assembler = IdentityAssembler(offer_identity(data))
    chunks = list(identity_chunks(data, assembler.request()))
    assert [len(chunk.data) for chunk in chunks] == [MAX_CHUNK_BYTES] * 3 + [len(data) - 3 * MAX_CHUNK_BYTES]
    assert [assembler.add(chunk) for chunk in chunks] == [None, None, None, file]


def test_resumes_where_it_broke_off(file: IdentityFile) -> None:
    data = file.to_bytes()
    assembler = IdentityAssembler(offer_identity(data))
    first, *_ = identity_chunks(data, assembler.request())
    assembler.add(first)
    request = assembler.request()
    assert request.offset_bytes == MAX_CHUNK_BYTES
    *early, last = identity_chunks(data, request)
    for chunk in early:
        assert assembler.add(chunk) is None
        assert assembler.add(chunk) is None  # repeated
    assert assembler.add(last) == file


def test_gap_is_refused_and_starts_over(file: IdentityFile) -> None:
    data = file.to_bytes()
    assembler = IdentityAssembler(offer_identity(data))
    first, _, third, _ = identity_chunks(data, assembler.request())
    assembler.add(first)
    with pytest.raises(MalformedPacketError, match=r"^identity data offset_bytes 32768 with 16384 bytes does not"):
        assembler.add(third)
    assert assembler.request().offset_bytes == 0


def test_nothing_beyond_the_offer_is_kept(file: IdentityFile) -> None:
    offer = IdentityOffer(content_sha256=file.content_hash(), size_bytes=100)
    with pytest.raises(MalformedPacketError, match=r"^identity data offset_bytes 0 with 101 bytes does not continue 0"):
        IdentityAssembler(offer).add(IdentityData(content_sha256=offer.content_sha256, offset_bytes=0, data=bytes(101)))


def test_other_bytes_than_offered_are_refused() -> None:
    offer = offer_identity(b"these bytes")
    chunk = IdentityData(content_sha256=offer.content_sha256, offset_bytes=0, data=b"other bytes")
    with pytest.raises(MalformedPacketError, match=r"^identity data does not have the offered SHA-256$"):
        IdentityAssembler(offer).add(chunk)


def test_other_identity_is_refused() -> None:
    chunk = IdentityData(content_sha256="00" * 32, offset_bytes=0, data=b"x")
    with pytest.raises(MalformedPacketError, match=r"^identity data content_sha256 is not the one that was asked for$"):
        IdentityAssembler(offer_identity(b"x")).add(chunk)


def test_right_hash_of_no_identity_is_refused() -> None:
    data = b"TFID but no more"
    assembler = IdentityAssembler(offer_identity(data))
    (chunk,) = identity_chunks(data, assembler.request())
    with pytest.raises(ProtocolError, match=r"^identity file version 32 is unknown"):
        assembler.add(chunk)


@pytest.mark.parametrize("offset", [11, 262_144])
def test_requests_that_cannot_be_served(offset: int) -> None:
    data = b"0123456789"
    offer = offer_identity(data)
    assert list(identity_chunks(data, IdentityRequest(content_sha256="00" * 32))) == []
    request = IdentityRequest(content_sha256=offer.content_sha256, offset_bytes=offset)
    assert list(identity_chunks(data, request)) == []


def test_empty_and_oversized_files_are_not_offered() -> None:
    with pytest.raises(ProtocolError, match=r"^identity offer size_bytes 0 is outside"):
        offer_identity(b"")
    with pytest.raises(ProtocolError, match=r"^identity offer size_bytes 2097153 is outside"):
        offer_identity(bytes(2_097_153))


def sectioned(key: OwnerKey) -> SectionedIdentity:
    """About 50 kB: z and offsets in the first chunk, weights over the others."""
    return sign_sections(
        key,
        {1: struct.pack("<4e", 1, 2, 3, 4), 2: bytes(16), 6: bytes(range(256)) * 200},
        name="Ann",
        weights_sha256="ab" * 32,
        latent_dim=4,
        created=date(2026, 11, 26),
        is_synthetic=True,
        shows_real_person=False,
    )


def test_sections_are_of_use_before_the_whole_has_come(owner_key: OwnerKey) -> None:
    identity = sectioned(owner_key)
    data = identity.to_bytes()
    assembler = IdentityAssembler(offer_identity(data))
    results = [assembler.add(chunk) for chunk in identity_chunks(data, assembler.request())]
    assert [None if part is None else len(part.sections) for part in results] == [2, None, None, 3]  # type: ignore[union-attr]
    assert results[-1] == identity


@pytest.mark.parametrize("size", [1, 3, 7, 100, 999])
def test_chunks_of_any_size_and_a_resumed_transfer(owner_key: OwnerKey, size: int) -> None:
    identity = sectioned(owner_key)
    data = identity.to_bytes()
    assembler = IdentityAssembler(offer_identity(data))
    seen = []
    for start in range(0, len(data), size):
        assert assembler.request().offset_bytes == start
        part = IdentityData(content_sha256=identity.content_hash(), offset_bytes=start, data=data[start : start + size])
        seen.append(assembler.add(part))
    found = [len(part.sections) for part in seen if isinstance(part, SectionedIdentity)]
    assert found == sorted(set(found))
    assert found[-1] == 3


def test_a_head_that_was_not_offered_is_refused_at_once(owner_key: OwnerKey) -> None:
    offered, other = sectioned(owner_key).to_bytes(), sectioned(OwnerKey.generate()).to_bytes()
    assembler = IdentityAssembler(offer_identity(offered))
    chunk = IdentityData(content_sha256=assembler.offer.content_sha256, offset_bytes=0, data=other[:2000])
    with pytest.raises(MalformedPacketError, match=r"^identity data does not have the offered SHA-256$"):
        assembler.add(chunk)
    assert assembler.request().offset_bytes == 0


def test_another_length_than_the_heads_is_refused(owner_key: OwnerKey) -> None:
    data = sectioned(owner_key).to_bytes()
    offer = offer_identity(data)
    assembler = IdentityAssembler(IdentityOffer(content_sha256=offer.content_sha256, size_bytes=len(data) + 1))
    first, *_ = identity_chunks(data, assembler.request())
    with pytest.raises(MalformedPacketError, match=rf"is {len(data)} bytes long, {len(data) + 1} were offered$"):
        assembler.add(first)


def test_a_false_section_ends_the_transfer(owner_key: OwnerKey) -> None:
    data = bytearray(sectioned(owner_key).to_bytes())
    data[-1] ^= 1
    assembler = IdentityAssembler(offer_identity(bytes(data)))
    *early, last = identity_chunks(bytes(data), assembler.request())
    for chunk in early:
        assembler.add(chunk)
    with pytest.raises(MalformedPacketError, match="section 6 does not have the SHA-256 of the table"):
        assembler.add(last)
