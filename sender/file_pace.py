"""When the packets of a file are due: packet k leaves when its sound has ended, as a microphone's would."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from protocol.interfaces import Clock
from protocol.rtp_time import RTP_CLOCK_HZ

MAX_LAG_US = 1_000_000
"""When the machine slept for longer than this, a file goes on from now instead of catching up in a burst."""


class FilePace:
    """Waits on an injected clock; its time begins with `start`."""

    def __init__(self, clock: Clock, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """`sleep`: how to wait; tests move a fake clock."""
        self._clock = clock
        self._sleep = sleep
        self._start_us = clock.now_us()
        self.num_slips = 0
        """How often the machine slept through a part of the call."""

    def start(self) -> None:
        """The file begins now."""
        self._start_us = self._clock.now_us()

    async def wait_for(self, end_ticks: int) -> None:
        """Until the sound before `end_ticks` would have been spoken."""
        due_us = self._start_us + end_ticks * 1_000_000 // RTP_CLOCK_HZ
        now_us = self._clock.now_us()
        if now_us < due_us:
            await self._sleep((due_us - now_us) / 1_000_000)
        elif now_us - due_us > MAX_LAG_US:
            self.num_slips += 1
            self._start_us += now_us - due_us
