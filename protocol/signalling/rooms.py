"""Who is in which room of the signalling server: plain bookkeeping, no sockets."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from protocol.errors import RoomFullError, ServerBusyError
from protocol.signalling.messages import ROOM_NAME_BYTES, Join

PEERS_PER_ROOM = 2

P = TypeVar("P")


@dataclass(slots=True)
class Room(Generic[P]):
    """One room; `P` is the server's handle of a connection."""

    room_id: bytes
    generation: int = 0
    members: list[tuple[bytes, P]] = field(default_factory=list)
    """Token and handle, in the order of joining."""

    @property
    def peers(self) -> list[P]:
        """Handles, the one that was here first at the front."""
        return [peer for _, peer in self.members]

    @property
    def is_complete(self) -> bool:
        """Both are here."""
        return len(self.members) == PEERS_PER_ROOM

    def other(self, peer: P) -> P | None:
        """Who is here with `peer`."""
        return next((member for member in self.peers if member is not peer), None)


class RoomTable(Generic[P]):
    """All rooms; a room exists while somebody is in it."""

    def __init__(self, max_rooms: int) -> None:
        self._max_rooms = max_rooms
        self._rooms: dict[bytes, Room[P]] = {}

    def __len__(self) -> int:
        return len(self._rooms)

    def find(self, room_id: bytes) -> Room[P] | None:
        """That room, if somebody is in it."""
        return self._rooms.get(room_id)

    def join(self, join: Join, peer: P) -> tuple[Room[P], P | None]:
        """Let `peer` in.

        Returns:
            The room, and the handle that `peer` replaces because it has the same token. When the room is complete
            its generation has grown.

        Raises:
            RoomFullError, ServerBusyError: nothing has changed.
        """
        room = self._rooms.get(join.room_id)
        if room is None:
            if len(self._rooms) >= self._max_rooms:
                raise ServerBusyError(f"the server holds its maximum of {self._max_rooms} rooms, try later")
            room = Room(join.room_id)
        replaced = next((old for token, old in room.members if hmac.compare_digest(token, join.peer_token)), None)
        if replaced is None and room.is_complete:
            raise RoomFullError("the room has two peers already, choose another name or secret")
        room.members = [(token, old) for token, old in room.members if old is not replaced]
        room.members.append((join.peer_token, peer))
        self._rooms[join.room_id] = room
        if room.is_complete:
            room.generation += 1
        return room, replaced

    def namesakes(self, room: Room[P]) -> list[Room[P]]:
        """Other rooms of the same name, under other secrets."""
        name = room.room_id[:ROOM_NAME_BYTES]
        return [other for key, other in self._rooms.items() if key.startswith(name) and other is not room]

    def leave(self, room: Room[P], peer: P) -> P | None:
        """Take `peer` out; the handle of the one who stays, or None. Does nothing when it is out already."""
        if peer not in room.peers:
            return None
        room.members = [(token, member) for token, member in room.members if member is not peer]
        if not room.members:
            del self._rooms[room.room_id]
        return room.other(peer)
