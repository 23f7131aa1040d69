"""A gate in front of a connection's socket: a flood costs a bounded share of the processor and no memory.

Datagrams from the peer that ICE has chosen have a generous allowance, all other senders together a small one, so that
strangers cannot starve a call. Unknown SSRCs are limited too: aiortc and libsrtp keep state for each for ever.
"""

from __future__ import annotations

from protocol.interfaces import Clock
from protocol.rate_limit import TokenBucket
from talkface.rtc.wire.datagram import DatagramKind, datagram_kind

PEER_RATE_HZ = 4000
"""Datagrams per second from the chosen peer; a call needs under 60, an identity's transfer some hundred."""
PEER_BURST = 2000
STRANGER_RATE_HZ = 200
"""All other addresses together: connectivity checks, and media before the choice is made."""
STRANGER_BURST = 200
MAX_SSRCS = 8


class DatagramGate:
    """Decides about each incoming datagram of one connection."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._peer = TokenBucket(PEER_BURST, PEER_RATE_HZ)
        self._strangers = TokenBucket(STRANGER_BURST, STRANGER_RATE_HZ)
        self._ssrcs: set[bytes] = set()
        self.dropped = 0
        """Datagrams turned away."""

    def admits(self, datagram: bytes, *, is_peer: bool) -> bool:
        """False for a datagram over the sender's allowance, of an unknown kind, or with one SSRC too many."""
        bucket = self._peer if is_peer else self._strangers
        if self._is_welcome(datagram, is_peer) and bucket.take(1, self._clock.now_us() / 1e6):
            return True
        self.dropped += 1
        return False

    def _is_welcome(self, datagram: bytes, is_peer: bool) -> bool:
        kind = datagram_kind(datagram)
        if kind in (DatagramKind.OTHER, DatagramKind.CHANNEL_DATA):
            return False
        if kind is DatagramKind.RTP:
            ssrc = datagram[8:12]
            if ssrc not in self._ssrcs:
                if len(self._ssrcs) >= MAX_SSRCS or (self._ssrcs and not is_peer):
                    return False
                self._ssrcs.add(ssrc)
        return True
