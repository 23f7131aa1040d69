"""The one clock of the receiving side: samples of the playout signal at 48 kHz against local time.

Sample n of the playout signal has to be decoded at `ready_us(n)` and leaves at `leaves_us(n)`, a fixed presentation
delay later: long enough for the model's look-ahead and for drawing. Video frames are drawn for sample positions and
shown when those leave, so sound is the master and skew is something measured, not something adjusted. Without a
sound card the local monotonic clock drives; with one, `discipline` lets its clock drive.
"""

from __future__ import annotations

from protocol.rtp_time import RTP_CLOCK_HZ
from receiver.errors import InvalidStateError

US_PER_S = 1_000_000
MAX_RATE_PPM = 500.0
_PHASE_GAIN_PPM_PER_MS = 40.0
_RATE_GAIN_PPM_PER_MS_S = 1.0
_MAX_STEP_MS = 50.0


class MediaClock:
    """Maps playout samples to local microseconds and back; time is always an argument."""

    def __init__(self, presentation_delay_us: int) -> None:
        self.presentation_delay_us = presentation_delay_us
        self.rate_ppm = 0.0
        """How much faster than the local clock samples leave; 0 without a sound card."""
        self._anchor_us: float | None = None
        self._anchor_samples = 0.0
        self._card_offset: float | None = None
        self._card_time_us = 0
        self._card_ppm = 0.0

    @property
    def is_started(self) -> bool:
        return self._anchor_us is not None

    def start(self, ready_us: int) -> None:
        """Sample 0 has to be decoded at `ready_us`.

        Raises:
            InvalidStateError: it was started before.
        """
        if self.is_started:
            raise InvalidStateError("media clock: it is running, a call has one timeline")
        self._anchor_us = float(ready_us)

    def ready_us(self, samples: float) -> int:
        """Local time at which this sample has to be decoded."""
        us_per_sample = US_PER_S / RTP_CLOCK_HZ * (1.0 - self.rate_ppm * 1e-6)
        return round(self._anchor() + (samples - self._anchor_samples) * us_per_sample)

    def leaves_us(self, samples: float) -> int:
        """Local time at which this sample leaves for the ear, and a frame drawn for it should be shown."""
        return self.ready_us(samples) + self.presentation_delay_us

    def position(self, now_us: int) -> float:
        """The sample that leaves now; negative before the first one does."""
        elapsed_us = now_us - self.presentation_delay_us - self._anchor()
        return self._anchor_samples + elapsed_us * RTP_CLOCK_HZ / US_PER_S * (1.0 + self.rate_ppm * 1e-6)

    def shift(self, later_us: int) -> None:
        """Move everything from now on later (the process slept: a suspended laptop)."""
        self._anchor_us = self._anchor() + later_us

    def discipline(self, card_samples: int, now_us: int) -> None:
        """Follow a sound card that has played `card_samples` of the signal at `now_us`.

        Its buffer is a constant offset, taken from the first call; after that a proportional-integral loop keeps
        `position` with the card.
        """
        position = self.position(now_us)
        if self._card_offset is None or abs(card_samples - position - self._card_offset) > _MAX_STEP_MS * 48:
            self._card_offset = card_samples - position  # first call, or the device was interrupted
            self._card_time_us = now_us
            return
        error_ms = (card_samples - position - self._card_offset) / 48.0
        elapsed_s = min(5.0, max(0.0, (now_us - self._card_time_us) / US_PER_S))
        self._card_time_us = now_us
        self._card_ppm = _clip(self._card_ppm + _RATE_GAIN_PPM_PER_MS_S * error_ms * elapsed_s)
        self._anchor_us, self._anchor_samples = float(now_us - self.presentation_delay_us), position
        self.rate_ppm = _clip(self._card_ppm + _PHASE_GAIN_PPM_PER_MS * error_ms)

    def _anchor(self) -> float:
        if self._anchor_us is None:
            raise InvalidStateError("media clock: it is not started, no sound came yet")
        return self._anchor_us


def _clip(ppm: float) -> float:
    return max(-MAX_RATE_PPM, min(MAX_RATE_PPM, ppm))
