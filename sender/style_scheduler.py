"""When a style block is sent, and with what: every n-th packet, inside a rate budget, absolute once a second.

Between those, a packet carries one too when the face has moved far since the last one (a blink, a quick word) and the
budget has room for it beside the next due block.

A preset promises a rate for sound and style together. A voice that costs more than the preset's mean (libopus's rate
varies by some per cent with the speaker) takes from the style's budget, down to half of it.

Decided before the style codec is asked, because its encoder follows what it encoded: a payload that is made must be
sent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.presets import Preset
from protocol.rtp_time import RTP_CLOCK_HZ
from protocol.style_block import MAX_STYLE_BYTES, PADDING_SYNTAX_BYTES, StyleBlock
from talkface_core.interfaces import StylePayloadEncoder
from talkface_core.style.sampling import has_moved

REFRESH_TICKS = RTP_CLOCK_HZ
"""An absolute payload at least once a second, so that a loss is forgotten within one."""
_BUDGET_S = 1.0
"""Unused budget is kept this long."""
_SOUND_CREDIT_S = 1.0
"""Sound cheaper than the mean is remembered up to this much of the style's budget, against the louder words to come."""


@dataclass(slots=True)
class StyleTotals:
    """Running sums for the report."""

    num_blocks: int = 0
    num_payload_bytes: int = 0
    num_over_budget: int = 0
    """Blocks left out because the rate was spent."""


class StyleScheduler:
    """Turns style values into payloads at the moments when one may be sent."""

    def __init__(self, encoder: StylePayloadEncoder, preset: Preset) -> None:
        self._encoder = encoder
        self.with_lips = True
        """False drops the lips layer, the first thing that rate control lets go."""
        self._preset = preset
        self._num_packets = 0
        self._last_ticks: int | None = None
        self._refreshed_ticks: int | None = None
        self._budget_bits = 0.0
        self._sent: NDArray[np.float32] | None = None
        self._sent_bits = 0
        self._sound_debt_bits = 0.0
        self.totals = StyleTotals()

    def configure(self, preset: Preset) -> None:
        """Follow another preset; the first block after it is absolute."""
        self._preset = preset
        self._num_packets = 0
        self.request_refresh()

    def request_refresh(self) -> None:
        """Make the next payload absolute: something was lost, or the link is new."""
        self._refreshed_ticks = None

    def note_sound(self, opus_bytes: int, duration_ticks: int) -> None:
        """A packet of speech goes out: what it costs above the preset's mean is style's to save."""
        expected_bits = self._preset.opus_kbps * 1000 * duration_ticks / RTP_CLOCK_HZ
        least = -self._preset.style_limit_bps * _SOUND_CREDIT_S
        self._sound_debt_bits = max(self._sound_debt_bits + 8 * opus_bytes - expected_bits, least)

    def talking_payload(self, values: NDArray[np.float32] | None, ticks: int) -> bytes:
        """Payload for the next packet of speech; b"" when it carries none.

        Args:
            values: [16] at the instant that the packet ends, or None without a face.
            ticks: that instant.
        """
        is_due = self._num_packets % self._preset.packets_per_style == 0
        self._num_packets += 1
        self._fill_budget(ticks)
        return self._payload(values, ticks) if is_due or self._is_worth_one(values) else b""

    def _is_worth_one(self, values: NDArray[np.float32] | None) -> bool:
        """Whether a packet that owes no block should carry one; the next due block must not go without for it."""
        if values is None or self._sent is None or self._budget_bits < 2 * self._sent_bits:
            return False
        return has_moved(values, self._sent, with_lips=self.with_lips)

    def silent_payload(self, values: NDArray[np.float32] | None, ticks: int) -> bytes:
        """Payload for a style packet in silence; absolute, as the next may be far away."""
        self.request_refresh()
        self._fill_budget(ticks)
        return self._payload(values, ticks)

    def _payload(self, values: NDArray[np.float32] | None, ticks: int) -> bytes:
        if values is None:
            return b""
        if self._budget_bits < 0:
            self.totals.num_over_budget += 1
            return b""
        is_refresh = self._refreshed_ticks is None or ticks - self._refreshed_ticks >= REFRESH_TICKS
        payload = self._encoder.encode(values, refresh=is_refresh, with_lips=self.with_lips)
        if len(payload) > MAX_STYLE_BYTES:
            raise ValueError(f"style codec made {len(payload)} bytes, a style block holds {MAX_STYLE_BYTES}")
        if is_refresh:
            self._refreshed_ticks = ticks
        self._sent = values
        self._sent_bits = 8 * (len(StyleBlock(style=payload).to_bytes()) + PADDING_SYNTAX_BYTES)
        self._budget_bits -= self._sent_bits
        self.totals.num_blocks += 1
        self.totals.num_payload_bytes += len(payload)
        return payload

    def _fill_budget(self, ticks: int) -> None:
        """Bits accrue with time; a payload may go into debt, the next waits until it is paid."""
        elapsed_s = 0.0 if self._last_ticks is None else (ticks - self._last_ticks) / RTP_CLOCK_HZ
        self._last_ticks = ticks
        limit = self._preset.style_limit_bps
        income = limit * elapsed_s
        paid = min(max(self._sound_debt_bits, 0.0), income / 2)
        self._sound_debt_bits -= paid
        self._budget_bits = min(self._budget_bits + income - paid, limit * _BUDGET_S)
