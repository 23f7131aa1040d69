"""Packets to sound, and sound where packets are missing: libopus behind a wall that no bytes can break."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from receiver.media_packet import MediaPacket
from talkface_core.sound.opus import OpusDecoder, OpusPacketError

CONCEAL_UNIT = 480
"""libopus's speech decoder conceals in 10 ms units; shorter gaps are cut from one."""


@dataclass(slots=True)
class DecoderCounters:
    undecodable: int = 0
    """Packets whose framing was right and whose frames were not; their time was concealed."""


class AudioDecoder:
    """One decoder for the life of the call; 48 kHz mono int16."""

    def __init__(self) -> None:
        """Raises talkface_core.sound.libopus.OpusUnavailableError when there is no libopus."""
        self.counters = DecoderCounters()
        self._opus = OpusDecoder(48_000)

    def decode(self, packet: MediaPacket) -> NDArray[np.int16]:
        """[packet.duration_ticks] samples; concealment when the bytes cannot be decoded."""
        try:
            pcm = self._opus.decode(packet.opus.data)
        except OpusPacketError:
            self.counters.undecodable += 1
            return self.conceal(packet.duration_ticks)
        if pcm.shape[0] != packet.duration_ticks:  # libopus and our parser agree on every valid packet
            self.counters.undecodable += 1
            return self.conceal(packet.duration_ticks)
        return pcm

    def conceal(self, num_samples: int) -> NDArray[np.int16]:
        """[num_samples] that go on from what was decoded last: speech that fades, or comfort noise."""
        units = max(1, math.ceil(num_samples / CONCEAL_UNIT))
        return self._opus.decode(None, units * CONCEAL_UNIT)[:num_samples]

    def close(self) -> None:
        """Free the decoder."""
        self._opus.close()
