"""Whether the peer's program is still there while nothing is heard of it: a lost path may come back, it does not.

A program that ends without a word (killed, crashed) and a network that is lost look alike at first: silence. What
tells them apart: a program's sockets are closed by its machine. The signalling server sees that at once and says that
the peer has left, in the middle of media that flowed; and the machine answers our packets with "port unreachable". A
lost network does neither: the server notices by a ping that is not answered, long after the silence began, and nobody
answers for the machine.
"""

from __future__ import annotations

from typing import Protocol

LEFT_WITH_MEDIA_US = 7_000_000
"""A peer is heard every 5 s at least, as reports make it; one that left the room so soon after it was last heard closed
both at once. The server's ping takes 10 s at least to find that a network is gone."""
REJOIN_US = 5_000_000
"""A peer that changes its network leaves the room, and is back in it within this time."""
REFUSED_US = 3_000_000
"""Silence from which on a closed port is believed, when the peer has left the room too."""
REFUSED_ALONE_US = 20_000_000
"""... and when the server cannot be asked: some routers answer so for a peer whose address they have forgotten."""


class HeardLink(Protocol):
    """What is known of the peer by the connection in use."""

    @property
    def last_heard_us(self) -> int: ...

    @property
    def last_refused_us(self) -> int | None: ...


class PeerPresence:
    """Collects what signalling says of the peer; times are arguments."""

    def __init__(self) -> None:
        self._is_at_server = False
        """We are: what the server knows of the peer reaches us."""
        self._absent_us: int | None = None
        """Since when the peer is known not to be in the room; None while it is."""
        self._left_us: int | None = None
        """When it left without a goodbye; None while it is in the room, and when we were not there to see it."""
        self.has_hung_up = False
        """The server says that it left for good."""

    def connected(self, now_us: int) -> None:
        """We are in the room (again); if the peer is too, the server says so in the same breath."""
        self._is_at_server = True
        self._absent_us = now_us if self._absent_us is None else self._absent_us

    def disconnected(self) -> None:
        """The server cannot be reached."""
        self._is_at_server = False

    def came(self) -> None:
        """The peer is in the room."""
        self._absent_us = self._left_us = None
        self.has_hung_up = False

    def left(self, now_us: int, *, is_final: bool = False) -> None:
        """The peer's signalling connection has ended, with or without (not `is_final`) a goodbye."""
        self._absent_us, self._left_us = now_us, None if is_final else now_us
        self.has_hung_up = is_final

    def is_gone(self, now_us: int, link: HeardLink, *, is_silent: bool) -> bool:
        """True when the peer's program has ended.

        Args:
            link: the one in use.
            is_silent: for longer than a peer that is there would be.
        """
        silence_us = now_us - link.last_heard_us
        is_refused = link.last_refused_us is not None and link.last_refused_us > link.last_heard_us
        if not self._is_at_server:
            return is_refused and silence_us >= REFUSED_ALONE_US
        if self._absent_us is None:
            return False
        absent_us = now_us - self._absent_us
        if is_refused:
            return min(silence_us, absent_us) >= REFUSED_US
        return is_silent and absent_us >= REJOIN_US and self._left_with_media(link)

    def _left_with_media(self, link: HeardLink) -> bool:
        return self._left_us is not None and -REJOIN_US < self._left_us - link.last_heard_us <= LEFT_WITH_MEDIA_US
