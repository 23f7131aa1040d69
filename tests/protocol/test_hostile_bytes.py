"""Whatever bytes come, parsers raise ProtocolError or return something that they can write and read again."""

from __future__ import annotations

import random
import zlib
from typing import Any

import pytest

from protocol.errors import ProtocolError
from protocol.identity.file import IdentityFile
from protocol.messages import MAX_MESSAGE_BYTES, decode_message
from protocol.opus_padding import split_padding
from protocol.signalling.messages import MAX_SIGNALLING_BYTES, decode_signalling
from protocol.style_block import StyleBlock

NUM_MUTATIONS = 10_000


def survives(example: Any, data: bytes) -> bool:
    """True when `data` was accepted; fails the test on any other error than ProtocolError."""
    try:
        value = example.read(data)
    except ProtocolError:
        return False
    if value is not None and (written := example.write(value)):
        assert example.read(written) == value
    return True


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One to three small damages."""
    damaged = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(damaged) + 1)
        kind = rng.randrange(6)
        if kind == 0 and at < len(damaged):
            damaged[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(damaged):
            damaged[at] = rng.choice((0, 1, 0x7F, 0x80, 0xC0, 0xC1, 0xDD, 0xFF, rng.randrange(256)))
        elif kind == 2:
            del damaged[at : at + rng.randint(1, 4)]
        elif kind == 3:
            damaged[at:at] = rng.randbytes(rng.randint(1, 4))
        elif kind == 4:
            damaged[at:at] = damaged[: rng.randint(0, 16)]
        else:
            damaged = damaged[:at]
    return bytes(damaged)


def test_every_prefix(example: Any) -> None:
    data = example.data
    for length in range(len(data)):
        survives(example, data[:length])
    assert survives(example, data)


def test_random_mutations(example_name: str, example: Any) -> None:
    rng = random.Random(zlib.crc32(example_name.encode()))
    data = example.data
    refused = sum(not survives(example, mutate(data, rng)) for _ in range(NUM_MUTATIONS))
    assert refused or example_name.startswith(("style", "redundancy", "opus-code-0"))


@pytest.mark.parametrize("reader", [decode_message, decode_signalling, StyleBlock.from_bytes, split_padding])
def test_random_bytes(reader: Any) -> None:
    rng = random.Random(7)
    for _ in range(NUM_MUTATIONS):
        data = rng.randbytes(rng.randrange(40))
        if rng.random() < 0.5:  # past the magic
            data = bytes([rng.choice((0x00, 0x53, 0x54)), rng.randrange(32)]) + data
        try:
            reader(data)
        except ProtocolError:
            pass


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(b"\xdd\xff\xff\xff\xff", id="array of four billion"),
        pytest.param(b"\xdc\xff\xff" + b"\xc0" * 100, id="array of 65535"),
        pytest.param(b"\x91" * 5000 + b"\xc0", id="arrays nested 5000 deep"),
        pytest.param(b"\xdf\xff\xff\xff\xff", id="map of four billion"),
        pytest.param(b"\x91\xc6\xff\xff\xff\xff", id="binary of four billion bytes"),
        pytest.param(b"\x91\xc7\x0c\xff" + bytes(12), id="timestamp extension"),
        pytest.param(b"\x91\xd4\x01\x00", id="extension"),
        pytest.param(b"\x91\xa2\xff\xfe", id="text that is not UTF-8"),
        pytest.param(b"\x81\x90\x01", id="map with an array as key"),
        pytest.param(b"\x91\xcb\x7f\xf8\0\0\0\0\0\0", id="a float"),
        pytest.param(b"\x90\x90", id="two arrays"),
        pytest.param(b"\x01", id="no array"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_msgpack_bombs(fields: bytes) -> None:
    for reader, magic in ((decode_message, 0x54), (decode_signalling, 0x53)):
        for code in range(1, 7):
            with pytest.raises(ProtocolError):
                reader(bytes([magic, code]) + fields)


def test_sizes_are_refused_before_parsing() -> None:
    with pytest.raises(ProtocolError, match=r"^message of 17409 bytes is over 17408$"):
        decode_message(bytes(MAX_MESSAGE_BYTES + 1))
    with pytest.raises(ProtocolError, match=r"^signalling message of 20481 bytes is over 20480$"):
        decode_signalling(bytes(MAX_SIGNALLING_BYTES + 1))
    with pytest.raises(ProtocolError, match=r"^identity file of 262145 bytes is over 262144$"):
        IdentityFile.from_bytes(bytes(256 * 1024 + 1))
