"""RTP sequence numbers and timestamps as integers that never wrap (RFC 3550 section 5.1, RFC 1982).

The only place of serial-number arithmetic. Wire values are 16 and 32 bits; unwrapped ones are plain integers that
grow with time: timestamps wrap after 24.9 h, sequence numbers after 65.5 min at 60 ms packets.
"""

from __future__ import annotations

RTP_CLOCK_HZ = 48_000
"""RFC 7587 section 4.1: the RTP clock of Opus, whatever the coded bandwidth."""
TICKS_PER_MS = RTP_CLOCK_HZ // 1000
SEQUENCE_BITS = 16
TIMESTAMP_BITS = 32


def sequence_is_newer(a: int, b: int) -> bool:
    """True when 16-bit sequence number `a` comes after `b`, across the wrap; equal and opposite ones do not."""
    return 0 < ((a - b) & 0xFFFF) < 0x8000


class _Unwrapper:
    """Maps serial numbers of `bits` bits to integers, each to the candidate nearest to the newest one so far."""

    def __init__(self, bits: int, name: str) -> None:
        self._modulus = 1 << bits
        self._name = name
        self._newest: int | None = None

    def unwrap(self, value: int) -> int:
        """The unwrapped value. The first call returns `value` itself; values older than it may turn negative.

        A late or repeated value does not move the reference, so it cannot disturb those after it.

        Raises:
            ValueError: `value` does not fit the field.
        """
        if not 0 <= value < self._modulus:
            raise ValueError(f"{self._name} {value} is outside 0..{self._modulus - 1}")
        if self._newest is None:
            self._newest = value
            return value
        distance = (value - self._newest) % self._modulus
        if distance >= self._modulus // 2:
            distance -= self._modulus
        unwrapped = self._newest + distance
        self._newest = max(self._newest, unwrapped)
        return unwrapped

    def reset(self) -> None:
        """Forget the past: the next value starts a new stream (a new SSRC)."""
        self._newest = None


class SequenceUnwrapper(_Unwrapper):
    """RTP sequence numbers, 16 bits."""

    def __init__(self) -> None:
        super().__init__(SEQUENCE_BITS, "sequence number")


class TimestampUnwrapper(_Unwrapper):
    """RTP timestamps, 32 bits, in ticks of 1/48 000 s."""

    def __init__(self) -> None:
        super().__init__(TIMESTAMP_BITS, "rtp timestamp")
