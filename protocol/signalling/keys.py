"""What a room's secret gives: the room's place at the server, and a key for each meeting (docs/protocol.md section 6).

    room, secret ── scrypt ──> room id (shown to the server), password (shown to nobody)
    password ── SPAKE2 with the other end, per meeting ──> key ──> MACs of the descriptions

SPAKE2 (Abdalla and Pointcheval 2005; RFC 9382 is its later form) gives whoever is between the ends one guess at the
password per meeting, and nothing to test guesses against afterwards. The room id keeps ten bits of the secret: enough
that somebody with another secret is in another room, too few to find the secret by.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

import spake2

from protocol.errors import BadSignatureError, MalformedPacketError
from protocol.signalling.messages import (
    MAX_ROOM_BYTES,
    MAX_SECRET_BYTES,
    ROOM_ID_BYTES,
    ROOM_NAME_BYTES,
    Description,
    DescriptionKind,
    Exchange,
)
from protocol.wire_fields import Text

PASSWORD_BYTES = 32
PLACE_BITS = 10
"""Of the secret, in the room id: rooms of one name and another secret meet by accident once in 1024."""
# About 100 ms and 32 MB for each guess at a room's name, or at the ten bits of a secret.
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 2**15, 8, 1
_SCRYPT_MEMORY = 64 << 20
_PLACE_BYTES = ROOM_ID_BYTES - ROOM_NAME_BYTES


@dataclass(frozen=True, slots=True)
class RoomKeys:
    """What a secret gives in one room."""

    room_id: bytes
    """Shown to the server: 32 bytes."""
    password: bytes
    """For SPAKE2 with the other end."""

    @classmethod
    def derive(cls, room: str, secret: str) -> RoomKeys:
        """Stretch room and secret with scrypt (RFC 7914); takes about 200 ms.

        Raises:
            ValueError: room or secret is empty or too long.
        """
        Text(1, MAX_ROOM_BYTES).to_wire("room", room)
        Text(1, MAX_SECRET_BYTES).to_wire("secret", secret)
        name = _stretch(room.encode(), b"talkface name 2", ROOM_NAME_BYTES)
        keys = _stretch(secret.encode(), b"talkface room 2\0" + room.encode(), _PLACE_BYTES + PASSWORD_BYTES)
        place = int.from_bytes(keys[:_PLACE_BYTES], "big") % 2**PLACE_BITS
        return cls(name + place.to_bytes(_PLACE_BYTES, "big"), keys[_PLACE_BYTES:])


def _stretch(text: bytes, salt: bytes, num_bytes: int) -> bytes:
    return hashlib.scrypt(
        text, salt=salt, n=_SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P, maxmem=_SCRYPT_MEMORY, dklen=num_bytes
    )


@dataclass(frozen=True, slots=True)
class MeetingKey:
    """Shared by the two ends of one meeting when both know the secret; nobody else has it."""

    key: bytes

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
            raise BadSignatureError(
                "description mac does not fit: the other end has another secret, or the server changed what it said"
            )

    def _mac(self, generation: int, kind: str, sdp: str) -> bytes:
        data = generation.to_bytes(4, "big") + kind.encode() + b"\0" + sdp.encode()
        return hmac.digest(self.key, data, "sha256")


class KeyExchange:
    """One run of SPAKE2 (Ed25519, SHA-256), for one meeting. About 20 ms of arithmetic in each step."""

    def __init__(self, keys: RoomKeys, generation: int, *, is_offerer: bool) -> None:
        self._generation = generation
        context = keys.room_id + generation.to_bytes(4, "big")
        kind = spake2.SPAKE2_A if is_offerer else spake2.SPAKE2_B
        self._far_side = b"B" if is_offerer else b"A"
        self._run = kind(keys.password, idA=b"offerer" + context, idB=b"answerer" + context)
        self._share: bytes = self._run.start()[1:]  # without the letter of our side, which is known

    @property
    def message(self) -> Exchange:
        """What the other end is to be sent."""
        return Exchange(generation=self._generation, share=self._share)

    def finish(self, exchange: Exchange) -> MeetingKey:
        """The key, from what the other end sent; the same at both ends if their secrets are. Once only.

        Raises:
            MalformedPacketError: it is no share of the other side.
        """
        try:
            return MeetingKey(self._run.finish(self._far_side + exchange.share))
        except Exception as error:  # the library asserts and raises what its arithmetic trips over
            raise MalformedPacketError(
                f"exchange share is not one of the other side ({type(error).__name__})"
            ) from None
