"""Rooms of the signalling server, without sockets."""

from __future__ import annotations

import pytest

from protocol.errors import RoomFullError, ServerBusyError
from protocol.signalling.messages import Join
from protocol.signalling.rooms import RoomTable


def join(token: int, *, room: str = "kitchen") -> Join:
    return Join(room_id=room.encode().ljust(32), peer_token=bytes([token]) * 16)


def test_two_meet() -> None:
    table = RoomTable[str](10)
    room, replaced = table.join(join(1), "Ann")
    assert (room.peers, room.generation, room.is_complete, replaced) == (["Ann"], 0, False, None)
    room, replaced = table.join(join(2), "Bob")
    assert (room.peers, room.generation, room.is_complete, replaced) == (["Ann", "Bob"], 1, True, None)
    assert room.other("Ann") == "Bob"
    assert room.other("Bob") == "Ann"


def test_third_is_refused_and_nothing_changes() -> None:
    table = RoomTable[str](10)
    table.join(join(1), "Ann")
    room, _ = table.join(join(2), "Bob")
    with pytest.raises(RoomFullError, match=r"^the room has two peers already, choose another name or secret$"):
        table.join(join(3), "Eve")
    assert room.peers == ["Ann", "Bob"]
    assert room.generation == 1


def test_same_token_replaces_and_counts_a_new_meeting() -> None:
    table = RoomTable[str](10)
    table.join(join(1), "Ann")
    table.join(join(2), "Bob")
    room, replaced = table.join(join(1), "Ann again")
    assert replaced == "Ann"
    assert room.peers == ["Bob", "Ann again"]
    assert room.generation == 2
    assert table.leave(room, "Ann") is None  # the old connection ends later and takes nobody with it
    assert room.peers == ["Bob", "Ann again"]


def test_alone_and_back() -> None:
    table = RoomTable[str](10)
    table.join(join(1), "Ann")
    room, replaced = table.join(join(1), "Ann again")
    assert (replaced, room.peers, room.generation) == ("Ann", ["Ann again"], 0)


def test_room_ends_with_its_last_member() -> None:
    table = RoomTable[str](10)
    table.join(join(1), "Ann")
    room, _ = table.join(join(2), "Bob")
    assert table.leave(room, "Ann") == "Bob"
    assert table.find(b"kitchen".ljust(32)) is room
    assert table.leave(room, "Bob") is None
    assert len(table) == 0
    table.join(join(3), "Cid")  # the room is free


def test_number_of_rooms_is_bounded() -> None:
    table = RoomTable[str](2)
    table.join(join(1, room="a"), "Ann")
    table.join(join(1, room="b"), "Bob")
    with pytest.raises(ServerBusyError, match=r"^the server holds its maximum of 2 rooms, try later$"):
        table.join(join(1, room="c"), "Cid")
    table.join(join(2, room="a"), "Dan")
    assert len(table) == 2
