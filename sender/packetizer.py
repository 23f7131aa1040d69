"""Opus packet, style block and redundancy into one RTP payload, with the cost of each named.

payload = Opus frames | padding { style block | previous Opus packet }          (docs/protocol.md section 3)
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.interfaces import PacketCost
from protocol.opus_padding import MAX_PAYLOAD_BYTES, add_padding, comfort_noise_packet
from protocol.style_block import MAX_REDUNDANCY_BYTES, StyleBlock


@dataclass(frozen=True, slots=True)
class OutgoingPacket:
    """One RTP payload, ready for a MediaLink."""

    payload: bytes
    timestamp_ticks: int
    """48 kHz, from the start of the call."""
    cost: PacketCost


def speech_packet(
    opus: bytes, timestamp_ticks: int, duration_ticks: int, *, style: bytes = b"", previous: bytes = b""
) -> OutgoingPacket:
    """A packet of sound with style and the previous packet in its padding; either may be empty.

    A previous packet that does not fit is left out: sound and style come first.
    """
    with_style = add_padding(opus, StyleBlock(style=style).to_bytes())
    payload = with_style
    if previous and len(previous) <= MAX_REDUNDANCY_BYTES and len(with_style) + len(previous) <= MAX_PAYLOAD_BYTES - 8:
        payload = add_padding(opus, StyleBlock(style=style, redundancy=previous).to_bytes())
    cost = PacketCost(
        opus_bytes=len(opus),
        style_bytes=len(with_style) - len(opus),
        redundancy_bytes=len(payload) - len(with_style),
        is_talking=True,
        duration_ticks=duration_ticks,
    )
    return OutgoingPacket(payload, timestamp_ticks, cost)


def silent_packet(toc: int, timestamp_ticks: int, duration_ticks: int, *, style: bytes = b"") -> OutgoingPacket:
    """Comfort noise (one byte) or, with `style`, the padded empty packet that carries it.

    Args:
        toc: first byte of the last coded packet: the running configuration.
    """
    noise = comfort_noise_packet(toc)
    payload = add_padding(noise, StyleBlock(style=style).to_bytes())
    cost = PacketCost(
        opus_bytes=len(noise),
        style_bytes=len(payload) - len(noise),
        redundancy_bytes=0,
        is_talking=False,
        duration_ticks=duration_ticks,
    )
    return OutgoingPacket(payload, timestamp_ticks, cost)
