"""How far playout is: in samples of the playout signal, and in ticks of the sender's clock."""

from __future__ import annotations

from protocol.rtp_time import TICKS_PER_MS
from receiver.playout.media_clock import MediaClock
from receiver.playout.tick_map import TickMap


class PlayoutTimeline:
    """Samples and ticks go on piece by piece; `tick_map` remembers how they belong together. Time is an argument."""

    def __init__(self, clock: MediaClock) -> None:
        """`clock` is started by the first packet."""
        self.tick_map = TickMap()
        self.num_samples = 0
        """Samples of the playout signal made so far."""
        self.cursor_ticks = 0
        """The sender's tick that the next sample carries."""
        self._clock = clock

    @property
    def next_due_us(self) -> int | None:
        """When the next sample must be made; None before the first packet."""
        return self._clock.ready_us(self.num_samples) if self._clock.is_started else None

    def place(self, start_ticks: int, arrival_us: int, delay_us: float) -> None:
        """Let the packet that starts at this tick be due so long after it came. The first one starts the clock."""
        if not self._clock.is_started:
            self._clock.start(round(arrival_us + delay_us))
        ahead_us = self._clock.ready_us(self.num_samples) - delay_us - arrival_us
        self.cursor_ticks = start_ticks + round(ahead_us * TICKS_PER_MS / 1000.0)

    def postpone(self, later_us: int) -> None:
        """Move what is to come: the process slept."""
        self._clock.shift(later_us)

    def append(self, num_samples: int, num_ticks: int) -> None:
        """So many samples were made from so many of the sender's ticks."""
        self.tick_map.append(self.num_samples, num_samples, self.cursor_ticks, num_ticks)
        self.num_samples += num_samples
        self.cursor_ticks += num_ticks
