"""Reading a control channel: one message at a time, from a far end that may send anything."""

from __future__ import annotations

import random
from fractions import Fraction

from protocol.control import MAX_MESSAGES_BURST, ControlCounters, ControlReader, OtherVersion
from protocol.identity.transfer import offer_identity
from protocol.messages import MAX_MESSAGE_BYTES, MESSAGE_MAGIC, Bye, Hello, Stats, encode_message

HELLO = Hello(weights_sha256="ab" * 32, resolution_px=256, frame_rate=Fraction(25), style_table_id=3)


def test_a_message_is_read() -> None:
    reader = ControlReader()
    assert reader.read(encode_message(HELLO), 0.0) == HELLO
    assert reader.counters == ControlCounters(received=1)


def test_another_version_is_told_to_whoever_listens() -> None:
    message = bytearray(encode_message(HELLO))
    message[3] = 2  # the version, after magic, type and array header
    read = ControlReader().read(bytes(message), 0.0)
    assert isinstance(read, OtherVersion)
    assert "update talkface on the older end" in read.sentence


def test_what_cannot_be_read_is_counted_by_its_kind() -> None:
    reader = ControlReader()
    assert reader.read(bytes([MESSAGE_MAGIC, 200, 0x90]), 0.0) is None
    assert reader.read(b"garbage", 0.0) is None
    assert reader.read(b"", 0.0) is None
    assert reader.read(bytes(MAX_MESSAGE_BYTES + 1), 0.0) is None
    assert reader.counters == ControlCounters(received=4, malformed=3, ignored=1)


def test_a_flood_is_cut_off_and_ends_when_it_ends() -> None:
    reader = ControlReader()
    bye = Bye(reason="x")
    for _ in range(10_000):
        reader.read(b"garbage", 5.0)
    assert reader.counters.flooded == 10_000 - MAX_MESSAGES_BURST
    assert reader.read(encode_message(bye), 5.0) is None
    assert reader.read(encode_message(bye), 6.0) == bye


def test_garbage_never_raises() -> None:
    rng = random.Random(1)
    reader = ControlReader()
    stats = Stats(**dict.fromkeys(Stats.__dataclass_fields__, 1))
    samples = [encode_message(message) for message in (HELLO, offer_identity(b"file"), Bye(reason="end"), stats)]
    for second in range(10_000):
        message = bytearray(rng.choice(samples))
        for _ in range(rng.randrange(4)):
            message[rng.randrange(len(message))] = rng.randrange(256)
        reader.read(bytes(message[: rng.randrange(len(message) + 1)]), second)
    assert reader.counters.malformed > 1_000
    assert reader.read(samples[-1], 10_000) == stats


def test_counters_of_links_add_up() -> None:
    assert ControlCounters(1, 2, 3, 4) + ControlCounters(10, 20, 30, 40) == ControlCounters(11, 22, 33, 44)
