"""Style payloads out of packets, in playout order, as values on the sender's timeline (docs/protocol.md section 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.rtp_time import TICKS_PER_MS
from receiver.media_packet import MediaPacket
from talkface_core.errors import StylePayloadError
from talkface_core.interfaces import STYLE_VALUES, StylePayloadDecoder

MAX_ABSOLUTE_VALUE = 8.0
"""Style values are in units of their standard deviation: a hostile peer may grimace, not break the generator."""

MAX_LOSS_TICKS = 1_500 * TICKS_PER_MS
"""After a longer loss the decoder starts afresh: payloads name what they build on by a number that comes round again,
so that one from after the gap could be taken for a follower of one from before it."""


@dataclass(frozen=True, slots=True)
class TimedStyle:
    """Style values and the instant they describe."""

    ticks: int
    """Sender's timeline: the end of the packet's sound."""
    values: NDArray[np.float32]
    """[V]"""


@dataclass(slots=True)
class StyleCounters:
    decoded: int = 0
    malformed: int = 0
    waiting: int = 0
    """Payloads that could not be used because an earlier one was lost."""


class StyleReceiver:
    """Decodes the payloads of one stream; the sound of a packet never depends on it."""

    def __init__(self, decoder: StylePayloadDecoder) -> None:
        self.counters = StyleCounters()
        self.enabled = True
        """False when the far end's tables are not ours: payloads are then passed over."""
        self._decoder = decoder
        self._last_sequence: int | None = None
        self._lost_since_payload = True
        self._last_payload_ticks: int | None = None

    def consume(self, packet: MediaPacket) -> TimedStyle | None:
        """Take the packets that were played (or came too late to be), in order of sequence where possible.

        Returns:
            The values, or None when the packet carries none that can be used.
        """
        if packet.is_repair:  # carries no style: what the lost packet carried is gone
            return None
        if self._last_sequence is not None:
            if packet.sequence <= self._last_sequence:
                return None  # behind a payload that was used already
            if packet.sequence != self._last_sequence + 1:
                self._lost_since_payload = True
        self._last_sequence = packet.sequence
        if not packet.style or not self.enabled:
            return None
        is_contiguous, self._lost_since_payload = not self._lost_since_payload, False
        last_ticks, self._last_payload_ticks = self._last_payload_ticks, packet.end_ticks
        # Silence without a loss is no reason: nothing was sent that could be missing.
        if not is_contiguous and last_ticks is not None and packet.end_ticks - last_ticks > MAX_LOSS_TICKS:
            self._decoder.reset()
        try:
            values = self._decoder.decode(packet.style, is_contiguous=is_contiguous)
        except StylePayloadError:
            self.counters.malformed += 1
            self._lost_since_payload = True
            return None
        if values is None:
            self.counters.waiting += 1
            return None
        if values.shape != (STYLE_VALUES,) or not np.isfinite(values).all():
            self.counters.malformed += 1
            return None
        self.counters.decoded += 1
        return TimedStyle(packet.end_ticks, np.clip(values, -MAX_ABSOLUTE_VALUE, MAX_ABSOLUTE_VALUE))
