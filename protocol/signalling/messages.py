"""Messages of signalling, and the keys that a room's secret gives (docs/protocol.md section 6).

The server brings two peers together and relays their session descriptions. It never sees the secret: a client proves
that it knows it, and every description carries a MAC under a second key, so that neither the server nor anyone
between can put another DTLS fingerprint into the call.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Literal

from protocol.errors import (
    BadMagicError,
    BadSignatureError,
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

SIGNALLING_VERSION = 1
SIGNALLING_MAGIC = 0x53
"""First byte of every signalling message: "S"."""
MAX_SIGNALLING_BYTES = 20 * 1024
MAX_SDP_BYTES = 16 * 1024
MAX_ROOM_BYTES = 64
MAX_SECRET_BYTES = 256
MAX_REASON_BYTES = 200
TOKEN_BYTES = 16
PROOF_BYTES = 32
MAC_BYTES = 32
# About 50 ms and 16 MB per guess for whoever wants to find a short secret from a proof.
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 2**14, 8, 1

DescriptionKind = Literal["offer", "answer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """Client: first message; asks for a place in a room."""

    version: int = field(default=SIGNALLING_VERSION, metadata=wire(Integer(1, 255)))
    room: str = field(metadata=wire(Text(1, MAX_ROOM_BYTES)))
    proof: bytes = field(metadata=wire(Binary(PROOF_BYTES, PROOF_BYTES)))
    """`RoomKeys.proof`."""
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


SignallingMessage = Join | Joined | PeerJoined | PeerLeft | Description | Refused | Leave

SIGNALLING_TYPES: dict[int, tuple[str, type[SignallingMessage]]] = {
    1: ("join", Join),
    2: ("joined", Joined),
    3: ("peer joined", PeerJoined),
    4: ("peer left", PeerLeft),
    5: ("description", Description),
    6: ("refused", Refused),
    7: ("leave", Leave),
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


@dataclass(frozen=True, slots=True)
class RoomKeys:
    """What a secret gives in one room."""

    proof: bytes
    """Shown to the server."""
    mac_key: bytes
    """Known to the two peers only."""

    @classmethod
    def derive(cls, room: str, secret: str) -> RoomKeys:
        """Stretch the secret with scrypt (RFC 7914); takes about 50 ms.

        Raises:
            ValueError: room or secret is empty or too long.
        """
        Text(1, MAX_ROOM_BYTES).to_wire("room", room)
        Text(1, MAX_SECRET_BYTES).to_wire("secret", secret)
        salt = b"talkface room 1\0" + room.encode()
        keys = hashlib.scrypt(
            secret.encode(), salt=salt, n=_SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P, dklen=PROOF_BYTES + MAC_BYTES
        )
        return cls(keys[:PROOF_BYTES], keys[PROOF_BYTES:])

    def describe(self, generation: int, kind: DescriptionKind, sdp: str) -> Description:
        """A description with its MAC."""
        return Description(generation=generation, kind=kind, sdp=sdp, mac=self._mac(generation, kind, sdp))

    def verify(self, description: Description) -> None:
        """Check a description that came over the server.

        Raises:
            BadSignatureError: whoever wrote it does not know the secret.
        """
        expected = self._mac(description.generation, description.kind, description.sdp)
        if not hmac.compare_digest(expected, description.mac):
            raise BadSignatureError("description mac does not fit: it was changed on its way through the server")

    def _mac(self, generation: int, kind: str, sdp: str) -> bytes:
        data = generation.to_bytes(4, "big") + kind.encode() + b"\0" + sdp.encode()
        return hmac.digest(self.mac_key, data, "sha256")
