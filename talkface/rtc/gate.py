"""A gate in front of a connection's socket: a flood costs a bounded share of the processor and no memory.

Datagrams from the peer that ICE has chosen have a generous allowance, all other senders together a small one, so that
strangers cannot starve a call. An address can be forged: a source of RTP (SSRC) counts only once a packet of it has
passed SRTP, and until then shares a small allowance with all others that have not. Proven sources are few, because
aiortc and libsrtp keep state for each for ever (for one that fails authentication they keep none).
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
UNPROVEN_RATE_HZ = 200
"""RTP of sources of which nothing has passed SRTP yet, from the peer's address: the price of trying to decrypt."""
UNPROVEN_BURST = 200
MAX_SSRCS = 8
"""Proven sources; a call has one."""


class DatagramGate:
    """Decides about each incoming datagram of one connection."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._peer = TokenBucket(PEER_BURST, PEER_RATE_HZ)
        self._strangers = TokenBucket(STRANGER_BURST, STRANGER_RATE_HZ)
        self._unproven = TokenBucket(UNPROVEN_BURST, UNPROVEN_RATE_HZ)
        self._proven: set[int] = set()
        self.dropped = 0
        """Datagrams turned away."""

    def admits(self, datagram: bytes, *, is_peer: bool) -> bool:
        """False for a datagram over the sender's allowance, of an unknown kind, or with one SSRC too many."""
        bucket = self._bucket(datagram, is_peer)
        if bucket is not None and bucket.take(1, self._clock.now_us() / 1e6):
            return True
        self.dropped += 1
        return False

    def prove(self, ssrc: int) -> None:
        """A packet of this source has passed SRTP."""
        if len(self._proven) < MAX_SSRCS:
            self._proven.add(ssrc)

    def _bucket(self, datagram: bytes, is_peer: bool) -> TokenBucket | None:
        """The allowance that a datagram is taken from; None when it is not welcome at all."""
        kind = datagram_kind(datagram)
        if kind in (DatagramKind.OTHER, DatagramKind.CHANNEL_DATA):
            return None
        if kind is DatagramKind.RTP and int.from_bytes(datagram[8:12], "big") not in self._proven:
            if len(self._proven) >= MAX_SSRCS or (self._proven and not is_peer):
                return None
            return self._unproven if is_peer else self._strangers
        return self._peer if is_peer else self._strangers
