"""What a secret gives: rooms of their own for other secrets, keys that only both ends have."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.errors import BadSignatureError, MalformedPacketError
from protocol.signalling.keys import KeyExchange, MeetingKey, RoomKeys
from protocol.signalling.messages import Exchange

TEA = RoomKeys(b"r" * 32, b"t" * 32)
COFFEE = RoomKeys(b"r" * 32, b"c" * 32)


def meet(offerer: RoomKeys, answerer: RoomKeys, *, generations: tuple[int, int] = (1, 1)) -> list[MeetingKey]:
    """Both run an exchange with each other."""
    one = KeyExchange(offerer, generations[0], is_offerer=True)
    two = KeyExchange(answerer, generations[1], is_offerer=False)
    return [one.finish(two.message), two.finish(one.message)]


def test_a_room_depends_on_name_and_secret_and_shows_ten_bits_of_the_secret() -> None:
    keys = RoomKeys.derive("kitchen", "tea")
    assert keys == RoomKeys.derive("kitchen", "tea")
    hall, coffee = RoomKeys.derive("hall", "tea"), RoomKeys.derive("kitchen", "coffee")
    assert hall.room_id[:30] != keys.room_id[:30]
    assert coffee.room_id[:30] == keys.room_id[:30], "the name alone decides"
    assert coffee.room_id != keys.room_id, "another secret, another room"
    assert int.from_bytes(keys.room_id[30:], "big") < 1024
    assert len({keys.password, hall.password, coffee.password}) == 3


@pytest.mark.parametrize(
    ("room", "secret", "text"),
    [
        ("", "tea", "room of 0 bytes is under 1"),
        ("kitchen", "", "secret of 0 bytes is under 1"),
        ("k" * 65, "tea", "room of 65 bytes is over 64"),
        ("kitchen", "t" * 257, "secret of 257 bytes is over 256"),
    ],
)
def test_rooms_and_secrets_have_limits(room: str, secret: str, text: str) -> None:
    with pytest.raises(ValueError, match=f"^{text}$"):
        RoomKeys.derive(room, secret)


def test_both_ends_have_the_same_key_when_they_know_the_secret() -> None:
    one, two = meet(TEA, TEA)
    assert one == two
    assert one not in meet(TEA, TEA), "each meeting has its own"


@pytest.mark.parametrize("other", [COFFEE, RoomKeys(b"x" * 32, TEA.password)], ids=["secret", "room"])
def test_with_another_secret_or_room_the_keys_differ(other: RoomKeys) -> None:
    one, two = meet(TEA, other)
    assert one != two


def test_a_share_of_another_meeting_gives_another_key() -> None:
    one, two = meet(TEA, TEA, generations=(1, 2))
    assert one != two


def test_reflected_and_malformed_shares_are_refused() -> None:
    exchange = KeyExchange(TEA, 1, is_offerer=True)
    with pytest.raises(MalformedPacketError, match=r"^exchange share is not one of the other side"):
        exchange.finish(exchange.message)
    for share in (bytes(32), b"\xff" * 32, bytes([1]) + bytes(31)):
        with pytest.raises(MalformedPacketError, match=r"^exchange share is not one of the other side"):
            KeyExchange(TEA, 1, is_offerer=False).finish(Exchange(generation=1, share=share))


def test_a_changed_description_is_noticed() -> None:
    key = MeetingKey(b"m" * 32)
    description = key.describe(7, "offer", "v=0")
    key.verify(description)
    for change in ({"sdp": "v=1"}, {"kind": "answer"}, {"generation": 8}, {"mac": bytes(32)}):
        with pytest.raises(BadSignatureError, match=r"^description mac does not fit: the other end has another secret"):
            key.verify(replace(description, **change))
    with pytest.raises(BadSignatureError):
        MeetingKey(b"n" * 32).verify(description)
