"""The style block: what rides in the padding of an Opus packet beside the sound (docs/protocol.md section 3).

    short form      00 | 1 L | style (L = 0..15 bytes)         | redundancy (the rest)
    extended form   00 | 2 0 | length (16..255) | style        | redundancy (the rest)

The second byte is form (high nibble) and length (low nibble). The padding's own length ends the block, so redundancy
costs no framing. A style of up to 15 bytes costs 2 bytes of header and 2 of Opus padding syntax.

Timing: the style values are those of the instant at which the packet's sound ends (RTP timestamp + duration). The
sender has seen that instant when it sends the packet, and the receiver can move from the previous values to these
while it plays the packet, without waiting for another.

Redundancy is the previous Opus packet without our padding; its own style is not repeated.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.errors import MalformedPacketError, PayloadTooLargeError, TruncatedPacketError

STYLE_BLOCK_MAGIC = 0x00
"""First byte; see opus_padding for why it is zero."""
FORM_SHORT = 1
FORM_EXTENDED = 2
MAX_SHORT_STYLE_BYTES = 15
MAX_STYLE_BYTES = 255
MAX_REDUNDANCY_BYTES = 600
"""Two packets of that size, a style and the headers still fit MAX_PAYLOAD_BYTES of opus_padding."""
STYLE_HEADER_BYTES = 2
PADDING_SYNTAX_BYTES = 2
"""Frame-count byte and padding-length byte that a single-frame Opus packet gains with a block of up to 254 bytes."""


@dataclass(frozen=True, slots=True)
class StyleBlock:
    """Style payload and redundancy of one packet; either may be empty.

    Raises:
        PayloadTooLargeError: style over 255 bytes or redundancy over 600.
    """

    style: bytes = b""
    """One payload of the style codec, 0..255 bytes; opaque here."""
    redundancy: bytes = b""
    """Previous Opus packet, unpadded. Hostile like any packet: parse it before decoding."""

    def __post_init__(self) -> None:
        if len(self.style) > MAX_STYLE_BYTES:
            raise PayloadTooLargeError(f"style block style of {len(self.style)} bytes is over {MAX_STYLE_BYTES}")
        if len(self.redundancy) > MAX_REDUNDANCY_BYTES:
            raise PayloadTooLargeError(
                f"style block redundancy of {len(self.redundancy)} bytes is over {MAX_REDUNDANCY_BYTES}"
            )

    def to_bytes(self) -> bytes:
        """The block; b"" when there is nothing to carry, so that the packet stays unpadded."""
        if not self.style and not self.redundancy:
            return b""
        if len(self.style) <= MAX_SHORT_STYLE_BYTES:
            head = bytes([STYLE_BLOCK_MAGIC, FORM_SHORT << 4 | len(self.style)])
        else:
            head = bytes([STYLE_BLOCK_MAGIC, FORM_EXTENDED << 4, len(self.style)])
        return head + self.style + self.redundancy

    @classmethod
    def from_bytes(cls, data: bytes) -> StyleBlock | None:
        """Read the padding of a packet.

        Returns:
            None when it is not for us: no data, padding of another program, or a form of a later version.

        Raises:
            TruncatedPacketError, MalformedPacketError, PayloadTooLargeError: it claims to be ours and is damaged.
        """
        if not any(data) or data[0] != STYLE_BLOCK_MAGIC:
            return None
        form, low = data[1] >> 4, data[1] & 0x0F  # some byte is not zero, so there is a second one
        if form == FORM_SHORT:
            start, length = 2, low
        elif form == FORM_EXTENDED:
            start, length = 3, _extended_length(data, low)
        else:
            return None
        if len(data) < start + length:
            raise TruncatedPacketError(f"style block style of {length} bytes exceeds the {len(data) - start} left")
        return cls(style=data[start : start + length], redundancy=data[start + length :])


def _extended_length(data: bytes, low: int) -> int:
    if low:
        raise MalformedPacketError(f"style block reserved bits are {low}, not 0")
    if len(data) < 3:
        raise TruncatedPacketError("style block style length missing")
    if data[2] <= MAX_SHORT_STYLE_BYTES:
        raise MalformedPacketError(f"style block style length {data[2]} belongs in the short form")
    return data[2]
