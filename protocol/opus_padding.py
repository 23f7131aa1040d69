"""Bytes of ours in the padding of an Opus packet (RFC 6716 section 3.2.5), with the audio frames untouched.

The RFC asks encoders for zero padding and decoders to accept any value. We send other values on purpose: every
conforming decoder plays the packet as before, and a Talkface receiver reads the style block there. What we write
starts with 0x00, which in the draft Opus extension syntax (draft-ietf-mlcodec-opus-extension) says "plain padding
from here on", so that a decoder which knows extensions cannot misread it.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.errors import MalformedPacketError, PayloadTooLargeError
from protocol.opus_packet import build_opus_packet, parse_opus_packet

MAX_PAYLOAD_BYTES = 1200
"""Largest padded packet we make: RTP, SRTP, UDP, IPv6 and a TURN header still fit a path of 1280 bytes."""


@dataclass(frozen=True, slots=True)
class PlainOpus:
    """An Opus packet without padding, as a decoder takes it."""

    data: bytes
    """In its shortest form; a packet that came without padding is as it was."""
    duration_ticks: int
    """How long it plays, in 48 kHz ticks (120..5760); empty frames count."""
    is_empty: bool
    """No coded sound in any frame: a comfort-noise packet, or a carrier of style in silence."""


def add_padding(packet: bytes, data: bytes) -> bytes:
    """The same frames with `data` as padding; costs len(data) + 2 bytes on a single-frame packet (to 254 bytes).

    Zero padding that is there already (libopus at constant bitrate) is replaced. With empty `data` the packet comes
    back as it was. Data of zeros only cannot be told from plain padding and reads back as b"".

    Raises:
        MalformedPacketError: the packet carries data in its padding already.
        PayloadTooLargeError: the result would be over MAX_PAYLOAD_BYTES.
        ProtocolError: `packet` is not an Opus packet.
    """
    parsed = parse_opus_packet(packet)
    if any(parsed.padding):
        raise MalformedPacketError(f"opus packet padding holds {len(parsed.padding)} bytes of data already")
    if not data:
        return packet
    padded = build_opus_packet(parsed.toc, parsed.frames, data)
    if len(padded) > MAX_PAYLOAD_BYTES:
        raise PayloadTooLargeError(f"opus packet padded length {len(padded)} is over {MAX_PAYLOAD_BYTES}")
    return padded


def split_padding(packet: bytes) -> tuple[PlainOpus, bytes]:
    """The packet without padding, and the data that the padding held; zeros only are no data (b"").

    Raises:
        ProtocolError: `packet` is not an Opus packet.
    """
    parsed = parse_opus_packet(packet)
    plain = build_opus_packet(parsed.toc, parsed.frames) if parsed.padding else packet
    return PlainOpus(plain, parsed.duration_ticks, parsed.is_empty), parsed.padding if any(parsed.padding) else b""


def comfort_noise_packet(toc: int) -> bytes:
    """One byte that every decoder, browsers included, turns into comfort noise of the running configuration.

    Sent when the voice gate closes and every 400 ms while it is closed: `toc` is the first byte of the last coded
    packet.

    Raises:
        ValueError: `toc` is not a byte.
    """
    return bytes([toc & ~3])


def empty_packet(toc: int, data: bytes = b"") -> bytes:
    """A packet with one empty frame and `data` in its padding: the carrier of style in silence.

    A browser takes a padded packet for coded sound and conceals, so a comfort-noise packet has to follow one packet
    time later.

    Raises:
        PayloadTooLargeError: the result would be over MAX_PAYLOAD_BYTES.
    """
    return add_padding(comfort_noise_packet(toc), data)
