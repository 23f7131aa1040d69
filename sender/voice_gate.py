"""What is sent in each packet slot: speech, comfort noise, style alone, or nothing.

A plain gap makes a browser conceal and then fall dead silent. One empty packet (a single byte) when the gate closes
and one about every 400 ms after it are taken as discontinuous transmission, and the browser plays comfort noise with
no concealed sample. A padded empty packet is not taken as such, so style in silence goes one slot before the byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto

from protocol.presets import COMFORT_NOISE_INTERVAL_MS
from sender.voice_activity import FRAME_MS

HANGOVER_MS = 300
"""The gate stays open this long after the last voiced frame: weak word ends, stops inside words."""
QUIET_HANGOVER_MS = 180
"""The same in a quiet room, where the end of a word is known well; a word that goes on after it brings back the packet
before, and a packet saved at every pause is 1 % of a call."""
QUIET_ROOM_DB = 25.0
"""A room is quiet when the voice stands this far above it."""
SILENT_STYLE_PERIODS = 3
"""Style rides before every third comfort-noise packet: a silent head moves little, and an RTP packet costs 50 bytes."""


class SlotKind(Enum):
    """What a packet slot carries."""

    SPEECH = auto()
    COMFORT_NOISE = auto()
    """The one-byte packet."""
    STYLE = auto()
    """An empty packet with style in its padding, if there is style; else nothing."""
    NOTHING = auto()


class VoiceGate:
    """Frames of voice in, one decision per packet slot out."""

    def __init__(self) -> None:
        self._silence_ms = 0
        self._num_closed_slots = 0

    def next_slot(self, voiced: Sequence[bool], packet_ms: int, voice_to_noise_db: float = 0.0) -> SlotKind:
        """Decide for the packet that holds these 20 ms frames; in a quiet room the hangover is shorter.

        A single voiced frame anywhere in the packet opens it, so a word that starts in the middle is not cut.
        """
        hangover_ms = QUIET_HANGOVER_MS if voice_to_noise_db >= QUIET_ROOM_DB else HANGOVER_MS
        is_open = self._silence_ms < hangover_ms
        for is_voiced in voiced:
            self._silence_ms = 0 if is_voiced else self._silence_ms + FRAME_MS
            is_open |= bool(is_voiced)
        if is_open:
            self._num_closed_slots = 0
            return SlotKind.SPEECH
        interval = max(2, round(COMFORT_NOISE_INTERVAL_MS / packet_ms))
        period, position = divmod(self._num_closed_slots, interval)
        self._num_closed_slots += 1
        if position == 0:
            return SlotKind.COMFORT_NOISE
        if position == interval - 1 and period % SILENT_STYLE_PERIODS == SILENT_STYLE_PERIODS - 1:
            return SlotKind.STYLE
        return SlotKind.NOTHING
