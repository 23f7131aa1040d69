"""The negotiations that the signalling server begins: one counts, the last; too many in a row are passed over."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from protocol.rate_limit import TokenBucket
from protocol.signalling.messages import Description

MEETINGS_BURST, MEETINGS_PER_S = 16, 0.5
"""Each makes a connection: a server that announces one after the other must not starve the one in use."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """One negotiation with the peer."""

    generation: int
    descriptions: asyncio.Queue[Description]
    """Of the peer, for this generation."""

    @classmethod
    def new(cls, generation: int) -> Meeting:
        return cls(generation, asyncio.Queue(4))


class Meetings:
    """The negotiation that counts; a server that starts one after the other is passed over."""

    def __init__(self) -> None:
        self.current = Meeting.new(-1)
        self._rate = TokenBucket(MEETINGS_BURST, MEETINGS_PER_S)

    def begin(self, generation: int, now_us: int) -> bool:
        """A new one; False when there are too many."""
        if not self._rate.take(1, now_us / 1e6):
            return False
        self.current = Meeting.new(generation)
        return True
