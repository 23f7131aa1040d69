"""The framing of an Opus packet: TOC byte, frame lengths, padding (RFC 6716 section 3, rules R1-R7 of section 3.4).

Frames are opaque here: nothing is decoded. The parser is strict, because what it accepts goes on to a C decoder.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.errors import MalformedPacketError, PayloadTooLargeError, TruncatedPacketError
from protocol.rtp_time import TICKS_PER_MS

MAX_FRAME_BYTES = 1275
"""R2: no frame is longer."""
MAX_FRAMES = 48
MAX_DURATION_TICKS = 120 * TICKS_PER_MS
"""R5: no packet lasts longer."""
_CODE_MASK = 3
_VBR_BIT = 0x80
_PADDING_BIT = 0x40
_COUNT_MASK = 0x3F
_PADDING_STEP = 254
"""A padding-length byte of 255 stands for 254 bytes and one more length byte."""


@dataclass(frozen=True, slots=True)
class OpusPacket:
    """A parsed packet."""

    toc: int
    """First byte with the frame-count code cleared: configuration and stereo flag."""
    frames: tuple[bytes, ...]
    """1..48 coded frames, 0..1275 bytes each; an empty one stands for a lost or silent frame."""
    padding: bytes = b""
    """What followed the frames, as it was; libopus at constant bitrate puts zeros here."""

    @property
    def duration_ticks(self) -> int:
        """How long it plays, in 48 kHz ticks; padding and empty frames do not change it."""
        return frame_ticks(self.toc) * len(self.frames)

    @property
    def is_empty(self) -> bool:
        """True when no frame holds coded sound."""
        return not any(self.frames)


def frame_ticks(toc: int) -> int:
    """Duration of one frame of a packet with this TOC byte, in 48 kHz ticks (RFC 6716 table 2)."""
    config = toc >> 3
    if config < 12:  # SILK: 10, 20, 40, 60 ms
        return (480, 960, 1920, 2880)[config & 3]
    if config < 16:  # hybrid: 10, 20 ms
        return (480, 960)[config & 1]
    return 120 << (config & 3)  # CELT: 2.5, 5, 10, 20 ms


def parse_opus_packet(packet: bytes) -> OpusPacket:
    """Take a packet apart.

    Raises:
        TruncatedPacketError, MalformedPacketError, PayloadTooLargeError: RFC 6716 calls this packet invalid.
    """
    if not packet:
        raise TruncatedPacketError("opus packet toc missing: the packet is empty")
    toc, code = packet[0] & ~_CODE_MASK, packet[0] & _CODE_MASK
    if code == 0:
        return OpusPacket(toc, _checked([packet[1:]]))
    if code == 1:
        if len(packet) % 2 == 0:
            raise MalformedPacketError(f"opus packet length {len(packet)} is even, code 1 needs two equal frames")
        half = (len(packet) + 1) // 2
        return _checked_packet(toc, [packet[1:half], packet[half:]], b"")
    if code == 2:
        length, start = _read_length(packet, 1, len(packet))
        _check_room(length, len(packet) - start)
        return _checked_packet(toc, [packet[start : start + length], packet[start + length :]], b"")
    return _parse_code_3(packet, toc)


def build_opus_packet(toc: int, frames: tuple[bytes, ...], padding: bytes = b"") -> bytes:
    """The shortest packet that holds these frames, with `padding` after them.

    Raises:
        ValueError: no frame or more than 48, or a frame over 1275 bytes.
    """
    if not 1 <= len(frames) <= MAX_FRAMES or any(len(frame) > MAX_FRAME_BYTES for frame in frames):
        raise ValueError(f"an opus packet holds 1..{MAX_FRAMES} frames of at most {MAX_FRAME_BYTES} bytes")
    toc &= ~_CODE_MASK
    equal = len({len(frame) for frame in frames}) == 1
    if not padding and len(frames) == 1:
        return bytes([toc]) + frames[0]
    if not padding and len(frames) == 2:
        head = bytes([toc | 1]) if equal else bytes([toc | 2]) + _length_bytes(len(frames[0]))
        return head + frames[0] + frames[1]
    count = len(frames) | (0 if equal else _VBR_BIT) | (_PADDING_BIT if padding else 0)
    head = bytes([toc | 3, count]) + _padding_length_bytes(len(padding))
    if not equal:
        head += b"".join(_length_bytes(len(frame)) for frame in frames[:-1])
    return head + b"".join(frames) + padding


def _parse_code_3(packet: bytes, toc: int) -> OpusPacket:
    """Any number of frames, with padding (RFC 6716 section 3.2.5)."""
    if len(packet) < 2:
        raise TruncatedPacketError("opus packet frame count missing: code 3 needs two bytes")
    count, start = packet[1] & _COUNT_MASK, 2
    if count == 0:
        raise MalformedPacketError("opus packet frame count 0, at least 1 is needed")
    padding_length = 0
    if packet[1] & _PADDING_BIT:
        padding_length, start = _read_padding_length(packet, start)
    end = len(packet) - padding_length
    if end < start:
        raise TruncatedPacketError(f"opus packet padding of {padding_length} bytes exceeds the packet")
    lengths: list[int] = []
    if packet[1] & _VBR_BIT:
        for _ in range(count - 1):
            length, start = _read_length(packet, start, end)
            lengths.append(length)
        _check_room(sum(lengths), end - start)
        lengths.append(end - start - sum(lengths))
    else:
        size, rest = divmod(end - start, count)
        if rest:
            raise MalformedPacketError(f"opus packet has {end - start} frame bytes, not a multiple of {count} frames")
        lengths = [size] * count
    frames: list[bytes] = []
    for length in lengths:
        frames.append(packet[start : start + length])
        start += length
    return _checked_packet(toc, frames, packet[end:])


def _checked_packet(toc: int, frames: list[bytes], padding: bytes) -> OpusPacket:
    duration = frame_ticks(toc) * len(frames)
    if duration > MAX_DURATION_TICKS:
        raise MalformedPacketError(f"opus packet duration {duration / TICKS_PER_MS:g} ms is over 120 ms")
    return OpusPacket(toc, _checked(frames), padding)


def _checked(frames: list[bytes]) -> tuple[bytes, ...]:
    for frame in frames:
        if len(frame) > MAX_FRAME_BYTES:
            raise PayloadTooLargeError(f"opus packet frame of {len(frame)} bytes is over {MAX_FRAME_BYTES}")
    return tuple(frames)


def _check_room(needed: int, available: int) -> None:
    if needed > available:
        raise TruncatedPacketError(f"opus packet frame length {needed} exceeds the {available} bytes left")


def _read_length(packet: bytes, at: int, end: int) -> tuple[int, int]:
    """Frame length (RFC 6716 section 3.2.1) at `at` and the position after it; `end` is where frames end."""
    if at >= end or (packet[at] >= 252 and at + 1 >= end):
        raise TruncatedPacketError("opus packet frame length missing")
    if packet[at] < 252:
        return packet[at], at + 1
    return packet[at + 1] * 4 + packet[at], at + 2


def _length_bytes(length: int) -> bytes:
    if length < 252:
        return bytes([length])
    low = 252 + (length & 3)
    return bytes([low, (length - low) // 4])


def _read_padding_length(packet: bytes, at: int) -> tuple[int, int]:
    total = 0
    while at < len(packet):
        if packet[at] < 255:
            return total + packet[at], at + 1
        total, at = total + _PADDING_STEP, at + 1
    raise TruncatedPacketError("opus packet padding length missing")


def _padding_length_bytes(length: int) -> bytes:
    if length == 0:
        return b""
    # 254 itself fits one byte (254), 255 needs two (255, 1).
    full = (length - 1) // _PADDING_STEP
    return b"\xff" * full + bytes([length - full * _PADDING_STEP])
