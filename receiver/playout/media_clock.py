"""The one clock of the receiving side: samples of the playout signal at 48 kHz against local time.

Sample n of the playout signal has to be decoded at `ready_us(n)` and leaves at `leaves_us(n)`, a fixed presentation
delay later: long enough for the model's look-ahead and for drawing. Video frames are drawn for sample positions and
shown when those leave, so sound is the master and skew is something measured, not something adjusted. The local
monotonic clock drives; the sender's clock is followed by resampling (`audio_playout`).
"""

from __future__ import annotations

from protocol.rtp_time import RTP_CLOCK_HZ
from receiver.errors import InvalidStateError

US_PER_S = 1_000_000


class MediaClock:
    """Maps playout samples to local microseconds and back; time is always an argument."""

    def __init__(self, presentation_delay_us: int) -> None:
        self.presentation_delay_us = presentation_delay_us
        self._start_us: int | None = None

    @property
    def is_started(self) -> bool:
        return self._start_us is not None

    def start(self, ready_us: int) -> None:
        """Sample 0 has to be decoded at `ready_us`.

        Raises:
            InvalidStateError: it was started before.
        """
        if self.is_started:
            raise InvalidStateError("media clock: it is running, a call has one timeline")
        self._start_us = ready_us

    def ready_us(self, samples: int) -> int:
        """Local time at which this sample has to be decoded; exact over any length of call."""
        return self._started_us() + samples * US_PER_S // RTP_CLOCK_HZ

    def leaves_us(self, samples: int) -> int:
        """Local time at which this sample leaves for the ear, and a frame drawn for it should be shown."""
        return self.ready_us(samples) + self.presentation_delay_us

    def position(self, now_us: int) -> float:
        """The sample that leaves now; negative before the first one does."""
        return (now_us - self.presentation_delay_us - self._started_us()) * RTP_CLOCK_HZ / US_PER_S

    def shift(self, later_us: int) -> None:
        """Move the timeline (the process slept: a suspended laptop)."""
        self._start_us = self._started_us() + later_us

    def _started_us(self) -> int:
        if self._start_us is None:
            raise InvalidStateError("media clock: it is not started, no sound came yet")
        return self._start_us
