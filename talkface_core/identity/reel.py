"""The style reel of an identity file: how a person moves, one byte per style value (docs/protocol.md section 5).

    1  version, 1    2  vectors T    2 + 2  frame rate    1  step in 64ths of sigma    T x 16 int8

The step is finer than any on the wire, so that the style codec's own steps are the only ones to be seen.
"""

from __future__ import annotations

import struct
from fractions import Fraction

import numpy as np

from talkface_core.errors import TunedPartError
from talkface_core.interfaces import STYLE_VALUES
from talkface_core.style.quantiser import STEP_DENOMINATOR
from talkface_core.style.track import MAX_FRAME_RATE, StyleTrack

REEL_VERSION = 1
MAX_VECTORS = 4095
"""164 s at 25 vectors per second."""
REEL_STEP_64THS = 4
"""A sixteenth of sigma; the range is then +-7.9 sigma."""
_START = struct.Struct(">BHHHB")
_LIMIT = 127


def pack_reel(track: StyleTrack, *, step_64ths: int = REEL_STEP_64THS) -> bytes:
    """A track to bytes; values beyond 127 steps are clipped.

    Raises:
        ValueError: it is longer than `MAX_VECTORS`, or its frame rate does not fit in two 16-bit numbers.
    """
    rate = track.frame_rate
    if len(track.values) > MAX_VECTORS or max(rate.numerator, rate.denominator) > 0xFFFF:
        raise ValueError(f"a reel has at most {MAX_VECTORS} vectors at a plain rate; got {len(track.values)} at {rate}")
    steps = np.rint(track.values.astype(np.float64) * STEP_DENOMINATOR / step_64ths)
    start = _START.pack(REEL_VERSION, len(steps), rate.numerator, rate.denominator, step_64ths)
    return start + np.clip(steps, -_LIMIT, _LIMIT).astype(np.int8).tobytes()


def unpack_reel(data: bytes) -> StyleTrack:
    """What `pack_reel` wrote, from anybody.

    Raises:
        TunedPartError: the bytes are not a reel.
    """
    if len(data) < _START.size:
        raise TunedPartError(f"reel of {len(data)} bytes is under {_START.size}: truncated")
    version, count, numerator, denominator, step_64ths = _START.unpack_from(data)
    if version != REEL_VERSION:
        raise TunedPartError(f"reel version {version} is unknown, this program reads {REEL_VERSION}")
    if not 1 <= count <= MAX_VECTORS or len(data) != _START.size + count * STYLE_VALUES:
        raise TunedPartError(f"reel of {len(data)} bytes does not hold the {count} vectors that it names")
    rate = Fraction(numerator, denominator) if denominator else Fraction(0)
    if not 1 <= rate <= MAX_FRAME_RATE or (rate.numerator, rate.denominator) != (numerator, denominator):
        raise TunedPartError(f"reel frame rate {numerator}/{denominator} is not a plain 1..{MAX_FRAME_RATE}")
    steps = np.frombuffer(data, dtype=np.int8, offset=_START.size).reshape(count, STYLE_VALUES)
    if not step_64ths or (steps < -_LIMIT).any():
        raise TunedPartError("reel holds a step of 0 or a value of -128, which no writer makes")
    return StyleTrack(steps.astype(np.float32) * np.float32(step_64ths / STEP_DENOMINATOR), rate)
