"""docs/protocol.md and the code say the same: field tables, constants, presets, error codes, layouts, golden bytes."""

from __future__ import annotations

import hashlib
import hmac
import importlib
import re
import struct
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import spake2

from protocol.errors import SIGNALLING_ERRORS
from protocol.identity.file import IdentityFile
from protocol.identity.header import IdentityHeader
from protocol.identity.sections import MAX_SECTION_BYTES, MAX_SECTIONS_BYTES, SectionKind
from protocol.messages import MESSAGE_TYPES
from protocol.presets import PRESETS
from protocol.signalling.keys import KeyExchange, RoomKeys
from protocol.signalling.messages import SIGNALLING_TYPES, Exchange
from protocol.wire_fields import wire_fields

DOCUMENT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
MAX_SHOWN_BYTES = 200


def section(title: str) -> str:
    """The text below a heading that starts with `title`, to the next heading of the same or a higher level."""
    match = re.search(rf"^(#+) {re.escape(title)}[^\n]*\n", DOCUMENT, re.MULTILINE)
    assert match is not None, f"docs/protocol.md has no heading {title!r}"
    level = len(match[1])
    return re.split(rf"^#{{1,{level}}} ", DOCUMENT[match.end() :], maxsplit=1, flags=re.MULTILINE)[0]


def table(text: str, first_column: str) -> list[list[str]]:
    """Rows of the table whose header starts with `first_column`, cells without backticks; [] when there is none."""
    rows: list[list[str]] = []
    header: str | None = None
    for line in text.splitlines():
        if not line.startswith("|"):
            header = None
            continue
        cells = [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        if header is None:
            header = cells[0]
        elif header == first_column and not set(cells[0]) <= {"-"}:
            rows.append(cells)
    return rows


@pytest.mark.parametrize("types", [MESSAGE_TYPES, SIGNALLING_TYPES], ids=["control", "signalling"])
def test_field_tables(types: dict[int, tuple[str, type[Any]]]) -> None:
    for code, (name, kind) in types.items():
        rows = table(section(f"{name} (type {code})"), "field")
        assert [row[:2] for row in rows] == [[field, spec.describe()] for field, spec in wire_fields(kind)], name


def test_no_message_of_the_document_is_missing_in_the_code() -> None:
    headings = re.findall(r"^### (.+) \(type (\d+)\)$", DOCUMENT, re.MULTILINE)
    in_code = [(name, str(code)) for types in (MESSAGE_TYPES, SIGNALLING_TYPES) for code, (name, _) in types.items()]
    assert headings == in_code


def test_constants() -> None:
    rows = table(section("8. Limits"), "constant")
    assert len(rows) > 20
    for path, value in rows:
        module, name = path.rsplit(".", 1)
        assert str(getattr(importlib.import_module(module), name)) == value, path


def test_presets() -> None:
    rows = [
        [
            preset.name,
            str(preset.bitrate_bps),
            str(preset.packet_ms),
            "yes" if preset.redundancy else "no",
            str(preset.srtp_tag_bits),
            f"{preset.rtcp_interval_s:g}",
            str(preset.packets_per_style),
            str(preset.style_limit_bps),
            f"{preset.expected_kbps:.1f}",
        ]
        for preset in PRESETS.values()
    ]
    assert table(section("7. Presets"), "preset") == rows


def test_error_codes() -> None:
    assert {row[0] for row in table(section("refused (type 6)"), "code")} == set(SIGNALLING_ERRORS)


def test_identity_layout(examples: dict[str, Any]) -> None:
    for name in ("identity-fp32", "identity-fp16-layers"):
        data, file = examples[name].data, examples[name].value
        assert isinstance(file, IdentityFile)
        expected = {
            "magic": b"TFID",
            "version": b"\x01",
            "number_format": bytes([file.number_format.value]),
            "num_layers": bytes([file.num_layers]),
            "name_length": bytes([len(file.name.encode())]),
            "latent_dim": struct.pack(">H", file.latent_dim),
            "weights_sha256": bytes.fromhex(file.weights_sha256),
            "public_key": file.public_key,
        }
        rows = table(section("Version 1: one latent"), "offset")
        assert [row[2] for row in rows] == list(expected)
        end = 0
        for offset, size, field, _ in rows:
            assert int(offset) == end
            end += int(size)
            assert data[int(offset) : end] == expected[field], field
        assert data[end:] == file.name.encode() + file.z + file.layer_offsets + file.signature


def test_sectioned_identity(examples: dict[str, Any]) -> None:
    text = section("Version 2: sections")
    rows = table(text, "header field")
    assert [row[:2] for row in rows] == [[name, spec.describe()] for name, spec in wire_fields(IdentityHeader)]
    kinds = [
        (str(kind.value), kind.name.lower(), str(MAX_SECTION_BYTES.get(kind, MAX_SECTIONS_BYTES)))
        for kind in SectionKind
    ]
    assert [tuple(row[:3]) for row in table(text, "kind")] == kinds
    assert f"must not be over {MAX_SECTIONS_BYTES} bytes" in " ".join(text.split())
    data, identity = examples["identity-2-sections"].data, examples["identity-2-sections"].value
    fields = identity.header.to_bytes()[7:]
    parts = {
        "magic": b"TFID",
        "version": b"\x02",
        "header_length": struct.pack(">H", len(fields)),
        "header": fields,
        "signature": identity.signature,
    }
    assert [row[2] for row in table(text, "at")] == list(parts)
    assert data == b"".join(parts.values()) + b"".join(identity.sections)


def test_revocation(examples: dict[str, Any]) -> None:
    statement = examples["revocation"].value
    parts = {
        "magic": b"TFRV",
        "version": b"\x01",
        "public_key": statement.public_key,
        "day": struct.pack(">H", (statement.day - date(1970, 1, 1)).days),
        "reason_length": bytes([len(statement.reason.encode())]),
        "reason": statement.reason.encode(),
        "signature": statement.signature,
    }
    assert [row[2] for row in table(section("Keys in words"), "place")] == list(parts)
    assert examples["revocation"].data == b"".join(parts.values())


def test_style_forms(examples: dict[str, Any]) -> None:
    short, extended = examples["style-and-redundancy"], examples["style-extended"]
    assert short.data == b"\0" + bytes([1 << 4 | 3]) + short.value.style + short.value.redundancy
    assert extended.data == b"\0\x20" + bytes([20]) + extended.value.style + extended.value.redundancy
    assert [row[0] for row in table(section("3. Style block"), "form")] == ["short", "extended"]


def test_keys_by_the_words_of_the_document() -> None:
    words = " ".join(section("6. Signalling").split())
    assert "N = 32768, r = 8, p = 1" in words
    assert 'salt `"talkface name 2"`' in words
    assert 'salt `"talkface room 2"`, a zero byte and the room name' in words
    cost: dict[str, Any] = {"n": 32768, "r": 8, "p": 1, "maxmem": 1 << 26}
    name = hashlib.scrypt(b"kitchen", salt=b"talkface name 2", dklen=30, **cost)
    stretched = hashlib.scrypt(b"tea", salt=b"talkface room 2\0kitchen", dklen=34, **cost)
    keys = RoomKeys.derive("kitchen", "tea")
    place = (int.from_bytes(stretched[:2], "big") % 1024).to_bytes(2, "big")
    assert (keys.room_id, keys.password) == (name + place, stretched[2:])
    # The other side of an exchange by the library alone.
    context = keys.room_id + struct.pack(">I", 7)
    answerer = spake2.SPAKE2_B(keys.password, idA=b"offerer" + context, idB=b"answerer" + context)
    share = answerer.start()
    offerer = KeyExchange(keys, 7, is_offerer=True)
    key = answerer.finish(b"A" + offerer.message.share)
    signed = struct.pack(">I", 7) + b"offer" + b"\0" + b"v=0"
    meeting = offerer.finish(Exchange(generation=7, share=share[1:]))
    assert meeting.describe(7, "offer", "v=0").mac == hmac.digest(key, signed, "sha256")


def test_golden_bytes(examples: dict[str, Any]) -> None:
    block = re.search(r"^```golden\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert block is not None
    shown: dict[str, bytes] = {}
    name = ""
    for line in block[1].splitlines():
        if line.startswith(" "):
            shown[name] += bytes.fromhex(line)
        else:
            name = line
            shown[name] = b""
    expected = {name: example.data for name, example in examples.items() if len(example.data) <= MAX_SHOWN_BYTES}
    assert shown == expected


def test_lengths_of_section_6_are_those_of_the_constants() -> None:
    from protocol.signalling.messages import MAX_SIGNALLING_BYTES

    assert f"messages over {MAX_SIGNALLING_BYTES} bytes" in " ".join(section("6. Signalling").split())
