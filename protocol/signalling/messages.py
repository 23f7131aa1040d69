"""Messages of signalling (docs/protocol.md section 6).

The server brings two peers together and relays what they say to each other: a key exchange under the room's secret,
which it never sees, and session descriptions with a MAC under that key (`keys`). So neither the server nor anyone
between can put another DTLS fingerprint into the call.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from protocol.errors import (
    BadMagicError,
    MalformedPacketError,
    PayloadTooLargeError,
    SignallingVersionError,
    TruncatedPacketError,
    UnknownTypeError,
)
from protocol.wire_fields import (
    Binary,
    Flag,
    Integer,
    Text,
    build_message,
    check_fields,
    pack_fields,
    unpack_array,
    wire,
)

SIGNALLING_VERSION = 2
SIGNALLING_MAGIC = 0x53
"""First byte of every signalling message: "S"."""
MAX_SIGNALLING_BYTES = 20 * 1024
MAX_SDP_BYTES = 16 * 1024
MAX_ROOM_BYTES = 64
MAX_SECRET_BYTES = 256
MAX_REASON_BYTES = 200
TOKEN_BYTES = 16
ROOM_ID_BYTES = 32
ROOM_NAME_BYTES = 30
"""Of a room id, the first: what the room's name gives; the rest follows from the secret."""
SHARE_BYTES = 32
MAC_BYTES = 32

DescriptionKind = Literal["offer", "answer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """Client: first message; asks for a place in a room."""

    version: int = field(default=SIGNALLING_VERSION, metadata=wire(Integer(1, 255)))
    room_id: bytes = field(metadata=wire(Binary(ROOM_ID_BYTES, ROOM_ID_BYTES)))
    """`RoomKeys.room_id`."""
    peer_token: bytes = field(metadata=wire(Binary(TOKEN_BYTES, TOKEN_BYTES)))
    """Random; a join with the same token replaces the earlier one, which is taken for dead."""

    def __post_init__(self) -> None:
        check_fields("join", self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """Server: you are in the room. When the other one is too, `PeerJoined` follows."""

    generation: int = field(metadata=wire(Integer(0, 2**32 - 1)))

    def __post_init__(self) -> None:
        check_fields("joined", self)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerJoined:
    """Server, to both: the room is complete, negotiate anew. Descriptions of earlier generations are void."""

    generation: int = field(metadata=wire(Integer(0, 2**32 - 1)))
    """Grows each time that two peers meet in this room."""
    is_offerer: bool = field(metadata=wire(Flag()))
    """True for exactly one of the two: the one that was in the room first."""

    def __post_init__(self) -> None:
        check_fields("peer joined", self)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerLeft:
    """Server: the other peer's signalling connection ended. A call that runs goes on: media does not pass here."""

    is_final: bool = field(metadata=wire(Flag()))
    """True when it said that it leaves, False when its connection was lost and it may come back."""

    def __post_init__(self) -> None:
        check_fields("peer left", self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """Either client, relayed as it is: a session description (RFC 8829)."""

    generation: int = field(metadata=wire(Integer(0, 2**32 - 1)))
    """The server drops descriptions of another generation than the running one."""
    kind: str = field(metadata=wire(Text(5, 6)))
    """"offer" or "answer"."""
    sdp: str = field(metadata=wire(Text(1, MAX_SDP_BYTES)))
    mac: bytes = field(metadata=wire(Binary(MAC_BYTES, MAC_BYTES)))

    def __post_init__(self) -> None:
        check_fields("description", self)
        if self.kind not in ("offer", "answer"):
            raise MalformedPacketError("description kind is neither offer nor answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Server: the connection ends, for this reason."""

    code: str = field(metadata=wire(Text(1, 32)))
    """A key of `errors.SIGNALLING_ERRORS`."""
    reason: str = field(metadata=wire(Text(0, MAX_REASON_BYTES)))

    def __post_init__(self) -> None:
        check_fields("refused", self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """Client: it leaves for good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """Either client, relayed as it is: its half of the key exchange of a meeting."""

    generation: int = field(metadata=wire(Integer(0, 2**32 - 1)))
    share: bytes = field(metadata=wire(Binary(SHARE_BYTES, SHARE_BYTES)))

    def __post_init__(self) -> None:
        check_fields("exchange", self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranger:
    """Server, to one that waits alone: somebody waits in a room of the same name with another secret. Said once."""


SignallingMessage = Join | Joined | PeerJoined | PeerLeft | Description | Refused | Leave | Exchange | Stranger

SIGNALLING_TYPES: dict[int, tuple[str, type[SignallingMessage]]] = {
    1: ("join", Join),
    2: ("joined", Joined),
    3: ("peer joined", PeerJoined),
    4: ("peer left", PeerLeft),
    5: ("description", Description),
    6: ("refused", Refused),
    7: ("leave", Leave),
    8: ("exchange", Exchange),
    9: ("stranger", Stranger),
}
"""Type byte to name and class."""
_TYPE_OF = {kind: (code, name) for code, (name, kind) in SIGNALLING_TYPES.items()}


def encode_signalling(message: SignallingMessage) -> bytes:
    """The bytes of one binary websocket message."""
    code, name = _TYPE_OF[type(message)]
    return bytes([SIGNALLING_MAGIC, code]) + pack_fields(name, message)


def decode_signalling(data: bytes) -> SignallingMessage:
    """Read one websocket message.

    Raises:
        UnknownTypeError: a message of a later version; skip it.
        SignallingVersionError: a join of another version.
        ProtocolError: anything else that is not ours.
    """
    if len(data) > MAX_SIGNALLING_BYTES:
        raise PayloadTooLargeError(f"signalling message of {len(data)} bytes is over {MAX_SIGNALLING_BYTES}")
    if len(data) < 2:
        raise TruncatedPacketError(f"signalling message of {len(data)} bytes has no type")
    if data[0] != SIGNALLING_MAGIC:
        raise BadMagicError(f"signalling message magic 0x{data[0]:02x} is not 0x{SIGNALLING_MAGIC:02x}")
    if data[1] not in SIGNALLING_TYPES:
        raise UnknownTypeError(f"signalling message type {data[1]} is unknown")
    name, kind = SIGNALLING_TYPES[data[1]]
    values = unpack_array(name, data[2:])
    if kind is Join and values and type(values[0]) is int and values[0] != SIGNALLING_VERSION:
        # Before the other fields: another version may have laid them out differently.
        raise SignallingVersionError(
            f"join version {values[0]} is not {SIGNALLING_VERSION}: update talkface on the older end"
        )
    return build_message(name, kind, values)
