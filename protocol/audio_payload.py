"""What the payload of one RTP packet of sound holds, taken apart once where it enters (docs/protocol.md section 3).

    payload = Opus frames | padding { style block { style | previous Opus packet } }

The wire meter, the jitter buffer, the decoder and the style codec all read this; none of them sees the bytes again.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.errors import ProtocolError
from protocol.opus_padding import PlainOpus, split_padding
from protocol.style_block import StyleBlock

MAX_RECEIVED_BYTES = 1500
"""No datagram that crosses the internet whole carries more."""


@dataclass(frozen=True, slots=True)
class AudioPayload:
    """A payload that is an Opus packet."""

    opus: PlainOpus
    style: bytes = b""
    """One payload of the style codec; opaque here."""
    redundancy: PlainOpus | None = None
    """The packet before this one, when it came along whole and holds sound."""
    style_bytes: int = 0
    """On the wire: the style with its header, and the padding syntax around the whole block."""
    redundancy_bytes: int = 0
    """On the wire, usable or not."""
    is_block_damaged: bool = False
    """The padding claims to be ours and cannot be read: the sound is good all the same."""


@dataclass(frozen=True, slots=True)
class MalformedPayload:
    """A payload that is no Opus packet, or longer than any that crosses the internet."""

    reason: str


def parse_audio_payload(payload: bytes) -> AudioPayload | MalformedPayload:
    """Take a payload apart; never raises, whatever the bytes are."""
    if len(payload) > MAX_RECEIVED_BYTES:
        return MalformedPayload(f"rtp payload of {len(payload)} bytes is over {MAX_RECEIVED_BYTES}")
    try:
        opus, padding = split_padding(payload)
    except ProtocolError as error:
        return MalformedPayload(str(error))
    try:
        block = StyleBlock.from_bytes(padding)
    except ProtocolError:
        return AudioPayload(opus, is_block_damaged=True)
    if block is None:
        return AudioPayload(opus)
    return AudioPayload(
        opus,
        style=block.style,
        redundancy=_sound_of(block.redundancy),
        style_bytes=len(payload) - len(opus.data) - len(block.redundancy),
        redundancy_bytes=len(block.redundancy),
    )


def _sound_of(redundancy: bytes) -> PlainOpus | None:
    """None when there is none, it is broken, or it is as silent as a gap."""
    if not redundancy:
        return None
    try:
        opus, _ = split_padding(redundancy)
    except ProtocolError:
        return None
    return None if opus.is_empty else opus
