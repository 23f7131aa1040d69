"""The Opus encoder of a call: libopus itself, or FFmpeg's wrapper of it where libopus cannot be reached.

The wrapper cannot force the bandwidth and falls to narrowband below about 10 kbps, so it never runs below 12 kbps.
"""

from __future__ import annotations

import logging
from fractions import Fraction
from typing import Protocol

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from numpy.typing import NDArray

from protocol.presets import Preset
from talkface_core.sound.libopus import OpusUnavailableError
from talkface_core.sound.opus import OpusEncoder

logger = logging.getLogger(__name__)

FALLBACK_BITRATE_BPS = 12_000
_SAMPLE_RATE_HZ = 48_000


class SpeechEncoder(Protocol):
    """48 kHz mono speech to Opus packets; used from one thread."""

    name: str
    packet_ms: int

    @property
    def samples_per_packet(self) -> int: ...

    def configure(self, *, bitrate_bps: int, packet_ms: int) -> None:
        """Change rate and packet duration between two packets."""
        ...

    def encode(self, pcm: NDArray[np.int16]) -> bytes:
        """[samples_per_packet] int16 to one packet."""
        ...

    def close(self) -> None: ...


class FfmpegOpusEncoder:
    """libopus through PyAV, at FALLBACK_BITRATE_BPS or more."""

    def __init__(self, bitrate_bps: int, packet_ms: int) -> None:
        self.name = "ffmpeg libopus"
        self._num_samples = 0
        self._context: AudioCodecContext | None = None
        self.bitrate_bps = 0
        self.packet_ms = 0
        self.configure(bitrate_bps=bitrate_bps, packet_ms=packet_ms)

    @property
    def samples_per_packet(self) -> int:
        return _SAMPLE_RATE_HZ * self.packet_ms // 1000

    def configure(self, *, bitrate_bps: int, packet_ms: int) -> None:
        """A change starts a new encoder: options of an open one are fixed.

        Raises:
            ValueError: FFmpeg refuses the packet duration.
        """
        bitrate_bps = max(bitrate_bps, FALLBACK_BITRATE_BPS)
        if (bitrate_bps, packet_ms) == (self.bitrate_bps, self.packet_ms):
            return
        context = av.CodecContext.create("libopus", "w")
        assert isinstance(context, AudioCodecContext)
        context.sample_rate = _SAMPLE_RATE_HZ
        context.layout = "mono"
        context.format = "s16"
        context.bit_rate = bitrate_bps
        context.time_base = Fraction(1, _SAMPLE_RATE_HZ)
        context.options = {"application": "voip", "frame_duration": str(packet_ms), "vbr": "on"}
        try:
            context.open()
        except av.FFmpegError as error:
            raise ValueError(f"Opus encoder of FFmpeg: {packet_ms} ms packets: {error}") from error
        if context.options:  # PyAV leaves here what the encoder did not know
            raise ValueError(f"Opus encoder of FFmpeg ignored {context.options}")
        self._context = context
        self.bitrate_bps, self.packet_ms = bitrate_bps, packet_ms

    def encode(self, pcm: NDArray[np.int16]) -> bytes:
        """Encode one packet.

        Raises:
            ValueError: another number of samples, or closed.
        """
        if pcm.shape != (self.samples_per_packet,):
            raise ValueError(f"Opus encoder of FFmpeg: wants [{self.samples_per_packet}], got {list(pcm.shape)}")
        if self._context is None:
            raise ValueError("Opus encoder of FFmpeg: it is closed")
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm)[None, :], format="s16", layout="mono")
        frame.sample_rate = _SAMPLE_RATE_HZ
        frame.time_base = Fraction(1, _SAMPLE_RATE_HZ)
        frame.pts = self._num_samples
        self._num_samples += pcm.shape[0]
        packets = self._context.encode(frame)
        return b"".join(bytes(packet) for packet in packets)

    def close(self) -> None:
        """Free the encoder."""
        self._context = None


def open_speech_encoder(preset: Preset) -> SpeechEncoder:
    """The best encoder of this machine; logs a warning when it is the fallback.

    Raises:
        ValueError: there is none at all.
    """
    try:
        return OpusEncoder(preset.bitrate_bps, preset.packet_ms)
    except OpusUnavailableError as error:
        logger.warning(
            "%s. Sending at %d kbps through FFmpeg meanwhile, which costs more than preset %r says.",
            error,
            max(preset.bitrate_bps, FALLBACK_BITRATE_BPS) // 1000,
            preset.name,
        )
        return FfmpegOpusEncoder(preset.bitrate_bps, preset.packet_ms)
