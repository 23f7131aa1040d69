"""Messages of the control channel: hello, identity by hash, stats, bye (docs/protocol.md section 4).

The channel is reliable and ordered, one message per data-channel message. Both sides send `Hello` first. A sender then
offers its identity by hash; a receiver that has it in its cache asks for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

from protocol.errors import (
    BadMagicError,
    PayloadTooLargeError,
    TruncatedPacketError,
    UnknownTypeError,
    UnsupportedVersionError,
)
from protocol.wire_fields import (
    Binary,
    Digest,
    Integer,
    Ratio,
    Text,
    build_message,
    check_fields,
    pack_fields,
    unpack_array,
    wire,
)

PROTOCOL_VERSION = 1
"""Changes when an old peer would misread a new one; new trailing fields and new message types do not change it."""
MESSAGE_MAGIC = 0x54
"""First byte of every control message: "T"."""
MAX_MESSAGE_BYTES = 17 * 1024
MAX_CHUNK_BYTES = 16 * 1024
MAX_IDENTITY_BYTES = 2 << 20
"""Largest identity file: a fully tuned face is under 1.5 MB."""
MAX_RESOLUTION_PX = 2048
MAX_REASON_BYTES = 200
MAX_AGENT_BYTES = 64


class GreetingModel(Protocol):
    """What a hello says about a face model."""

    @property
    def weights_sha256(self) -> str: ...

    @property
    def resolution_px(self) -> int: ...

    @property
    def frame_rate(self) -> Fraction: ...

    @property
    def style_table_id(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """Who speaks and what its model is; the first message in each direction.

    Raises:
        ProtocolError: a field is outside its range.
    """

    protocol_version: int = field(default=PROTOCOL_VERSION, metadata=wire(Integer(1, 255)))
    weights_sha256: str = field(metadata=wire(Digest()))
    """Hex digest of the sender's weights: an identity is worth something only with the same weights."""
    resolution_px: int = field(metadata=wire(Integer(16, MAX_RESOLUTION_PX)))
    frame_rate: Fraction = field(metadata=wire(Ratio(120_000)))
    """Frames per second at which this side draws and films."""
    style_table_id: int = field(metadata=wire(Integer(0, 255)))
    """Integer tables of the style codec."""
    agent: str = field(default="", metadata=wire(Text(0, MAX_AGENT_BYTES)))
    """Program and version, for people who read logs."""

    def __post_init__(self) -> None:
        check_fields("hello", self)

    @classmethod
    def of(cls, model: GreetingModel, agent: str = "") -> Hello:
        """The hello of a side that uses this model."""
        return cls(
            weights_sha256=model.weights_sha256,
            resolution_px=model.resolution_px,
            frame_rate=model.frame_rate,
            style_table_id=model.style_table_id,
            agent=agent,
        )

    def mismatches(self, theirs: Hello) -> list[str]:
        """Sentences on what the far end cannot use of ours or we of theirs; empty when all fits.

        Different weights: the identity is not usable and the face falls back to the default one. Different style
        tables: style is not decodable. Sound is never affected.
        """
        sentences = []
        if self.weights_sha256 != theirs.weights_sha256:
            sentences.append(
                f"the far end has other weights ({theirs.weights_sha256[:8]}, ours {self.weights_sha256[:8]}): "
                "identities do not carry over; install the same weights on both ends"
            )
        if self.style_table_id != theirs.style_table_id:
            sentences.append(
                f"the far end has style table {theirs.style_table_id}, ours is {self.style_table_id}: "
                "style is ignored; install the same weights on both ends"
            )
        return sentences


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityOffer:
    """The identity of the sender, by content hash."""

    content_sha256: str = field(metadata=wire(Digest()))
    size_bytes: int = field(metadata=wire(Integer(1, MAX_IDENTITY_BYTES)))

    def __post_init__(self) -> None:
        check_fields("identity offer", self)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityRequest:
    """The receiver does not have it: send it, from `offset_bytes` on (a transfer that broke off resumes)."""

    content_sha256: str = field(metadata=wire(Digest()))
    offset_bytes: int = field(default=0, metadata=wire(Integer(0, MAX_IDENTITY_BYTES)))

    def __post_init__(self) -> None:
        check_fields("identity request", self)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityData:
    """One chunk of the identity file, in order."""

    content_sha256: str = field(metadata=wire(Digest()))
    offset_bytes: int = field(metadata=wire(Integer(0, MAX_IDENTITY_BYTES)))
    data: bytes = field(metadata=wire(Binary(1, MAX_CHUNK_BYTES)))

    def __post_init__(self) -> None:
        check_fields("identity data", self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """What the receiver heard and showed since the call began. Reserved: no longer sent, and ignored when it comes,
    because nobody used it and one cost about 220 bytes on the wire with its acknowledgement."""

    duration_ms: int = field(metadata=wire(Integer(0)))
    packets_received: int = field(metadata=wire(Integer(0)))
    packets_lost: int = field(metadata=wire(Integer(0)))
    packets_repaired: int = field(metadata=wire(Integer(0)))
    packets_malformed: int = field(metadata=wire(Integer(0)))
    concealed_ms: int = field(metadata=wire(Integer(0)))
    playout_delay_ms: int = field(metadata=wire(Integer(0)))
    frames_expected: int = field(metadata=wire(Integer(0)))
    frames_shown: int = field(metadata=wire(Integer(0)))

    def __post_init__(self) -> None:
        check_fields("stats", self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bye:
    """The sender hangs up; the far end does not try to reconnect."""

    reason: str = field(default="", metadata=wire(Text(0, MAX_REASON_BYTES)))

    def __post_init__(self) -> None:
        check_fields("bye", self)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityProof:
    """Comes before an offer: the identity is of the sender's own key. Made by `protocol.identity.proof`."""

    content_sha256: str = field(metadata=wire(Digest()))
    """Of the identity that will be offered."""
    public_key: bytes = field(metadata=wire(Binary(32, 32)))
    """The identity's, Ed25519."""
    signature: bytes = field(metadata=wire(Binary(64, 64)))

    def __post_init__(self) -> None:
        check_fields("identity proof", self)


Message = Hello | IdentityOffer | IdentityRequest | IdentityData | Stats | Bye | IdentityProof

MESSAGE_TYPES: dict[int, tuple[str, type[Message]]] = {
    1: ("hello", Hello),
    2: ("identity offer", IdentityOffer),
    3: ("identity request", IdentityRequest),
    4: ("identity data", IdentityData),
    5: ("stats", Stats),
    6: ("bye", Bye),
    7: ("identity proof", IdentityProof),
}
"""Type byte to name and class."""
_TYPE_OF = {kind: (code, name) for code, (name, kind) in MESSAGE_TYPES.items()}


def encode_message(message: Message) -> bytes:
    """The bytes of one control message; at most MAX_MESSAGE_BYTES."""
    code, name = _TYPE_OF[type(message)]
    return bytes([MESSAGE_MAGIC, code]) + pack_fields(name, message)


def decode_message(data: bytes) -> Message:
    """Read one control message.

    Raises:
        UnknownTypeError: a message of a later version; skip it.
        UnsupportedVersionError: a hello of another version; end the call with that sentence.
        ProtocolError: anything else that is not a message of ours; drop and count it.
    """
    if len(data) > MAX_MESSAGE_BYTES:
        raise PayloadTooLargeError(f"message of {len(data)} bytes is over {MAX_MESSAGE_BYTES}")
    if len(data) < 2:
        raise TruncatedPacketError(f"message of {len(data)} bytes has no type")
    if data[0] != MESSAGE_MAGIC:
        raise BadMagicError(f"message magic 0x{data[0]:02x} is not 0x{MESSAGE_MAGIC:02x}")
    if data[1] not in MESSAGE_TYPES:
        raise UnknownTypeError(f"message type {data[1]} is unknown")
    name, kind = MESSAGE_TYPES[data[1]]
    values = unpack_array(name, data[2:])
    if kind is Hello:
        _check_version(values[0] if values else None)
    return build_message(name, kind, values)


def _check_version(version: object) -> None:
    # Before the other fields: another version may have laid them out differently.
    if type(version) is int and version != PROTOCOL_VERSION:
        raise UnsupportedVersionError(
            f"hello protocol_version {version} is not {PROTOCOL_VERSION}: update talkface on the older end"
        )
