"""What touches the samples between packets and outputs: codec and resamplers, as a receiver is given them.

The rest of playout and drawing decides about times and lengths only, so a simulation of a whole day may hand in tools
that count samples and compute none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from receiver.media_packet import MediaPacket
from receiver.playout.audio_decoder import AudioDecoder, DecoderCounters
from receiver.playout.fine_resampler import FineResampler
from talkface_core.sound.resample import StreamingResampler


class SoundDecoder(Protocol):
    """Packets of one call to sound, 48 kHz mono int16; `AudioDecoder`."""

    counters: DecoderCounters

    def decode(self, packet: MediaPacket) -> NDArray[np.int16]:
        """[packet.duration_ticks]"""
        ...

    def conceal(self, num_samples: int) -> NDArray[np.int16]:
        """[num_samples] in place of sound that is missing."""
        ...

    def close(self) -> None:
        """Free it."""
        ...


class SkewResampler(Protocol):
    """Follows the sender's clock by parts per million; `FineResampler`."""

    def process(self, pcm: NDArray[np.int16], ppm: float) -> NDArray[np.int16]:
        """[n] int16 to [n / (1 + ppm/1e6)]; nothing is lost over time."""
        ...


class WindowResampler(Protocol):
    """From 48 kHz to the face model's rate; `StreamingResampler`."""

    @property
    def delay_ms(self) -> float:
        """How much of the input it waits for."""
        ...

    def process(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """[n] float32 to what that completes."""
        ...


@dataclass(frozen=True, slots=True)
class SoundTools:
    """How to make each of them; by default the real ones."""

    decoder: Callable[[], SoundDecoder] = AudioDecoder
    """Raises talkface_core.sound.opus.OpusUnavailableError when there is no libopus."""
    skew_resampler: Callable[[], SkewResampler] = FineResampler
    window_resampler: Callable[[int, int], WindowResampler] = StreamingResampler
    """Input and output rate in Hz."""


REAL_TOOLS = SoundTools()
