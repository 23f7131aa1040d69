"""What may go out behind the sound: bytes that it leaves free, saved packet by packet, spent chunk by chunk.

The larger parts of an identity take minutes on a thin link and may never delay a word. So they go when the sound does
not: in silence all of the preset's rate that comfort noise and style leave, in speech a quarter of it on top.
"""

from __future__ import annotations

import asyncio

from protocol.presets import Preset
from protocol.rtp_time import RTP_CLOCK_HZ

SPEECH_SHARE = 4
"""In speech, one part in so many of the preset's rate."""
CHUNK_BYTES = 256
"""A tenth of a second of a thin link: what a word waits at most."""
CHUNK_OVERHEAD_BYTES = 110
"""IP, UDP, DTLS, SCTP, and the message around the data."""
_MAX_SAVED_BYTES = 2 * (CHUNK_BYTES + CHUNK_OVERHEAD_BYTES)
"""No burst after a pause in which nothing waited to be sent."""


class BehindSound:
    """Room for bytes behind the sound. Belongs to one event loop."""

    def __init__(self) -> None:
        self._free_bytes = 0.0
        self._grown = asyncio.Event()

    def note_sound(self, preset: Preset, duration_ticks: int, num_bytes: int) -> None:
        """One packet time of sound has gone out.

        Args:
            num_bytes: payload bytes sent in it, sound and style.
        """
        of_preset = preset.bitrate_bps * duration_ticks / RTP_CLOCK_HZ / 8
        free = max(of_preset / SPEECH_SHARE, of_preset - num_bytes)
        self._free_bytes = min(_MAX_SAVED_BYTES, self._free_bytes + free)
        self._grown.set()

    async def take(self, num_bytes: int) -> None:
        """Wait until a chunk with that much data has room.

        Raises:
            ValueError: it is larger than `CHUNK_BYTES`.
        """
        if num_bytes > CHUNK_BYTES:
            raise ValueError(f"a chunk of {num_bytes} bytes is over {CHUNK_BYTES}")
        needed = num_bytes + CHUNK_OVERHEAD_BYTES
        while self._free_bytes < needed:
            self._grown.clear()
            await self._grown.wait()
        self._free_bytes -= needed
