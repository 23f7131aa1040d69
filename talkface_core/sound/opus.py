"""Opus through libopus itself (RFC 6716): forced wideband, variable rate, and concealment of lost packets.

FFmpeg's wrapper offers neither a forced bandwidth (below 10 kbps it falls to narrowband, and the fricatives that a
face is read from are gone) nor concealment, so libopus is called through ctypes: the copy that the PyAV wheel
carries, else the system's (talkface_core/sound/libopus.py).
"""

from __future__ import annotations

import ctypes
import weakref
from types import TracebackType
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from talkface_core.errors import CoreError
from talkface_core.sound.libopus import DecoderCalls, EncoderCalls, LibOpus, load_libopus

Bandwidth = Literal["auto", "narrowband", "wideband", "fullband"]

PACKET_DURATIONS_MS = (20, 40, 60, 80, 100, 120)
_JOINED_FRAME_MS = {80: 40, 100: 20, 120: 60}
_OWN_JOINING_BELOW_BPS = 10_000
"""Packets above 60 ms are several frames. libopus's own joining caps every frame at the mean rate, and below 8 kbps it
falls to narrowband for that reason, whatever bandwidth is set; so there we join the frames ourselves. (At higher
rates libopus may change its mode between frames, which only its own joining prevents inside one packet.)"""
MAX_PACKET_BYTES = 4000
"""More than any packet at our rates, and the buffer size that libopus recommends."""

_APPLICATION_VOIP = 2048
_AUTO = -1000
_SIGNAL_VOICE = 3001
_SET_BITRATE = 4002
_SET_VBR = 4006
_SET_BANDWIDTH = 4008
_SET_COMPLEXITY = 4010
_SET_SIGNAL = 4024
_RESET_STATE = 4028
_BANDWIDTHS = {"auto": _AUTO, "narrowband": 1101, "wideband": 1103, "fullband": 1105}
_MAX_DECODED_MS = 120


class OpusError(CoreError):
    """libopus refused an argument; a bug of the caller."""


class OpusPacketError(OpusError):
    """Bytes are not an Opus packet. The decoder stays usable; the receiver drops the packet and conceals."""


class _Codec:
    """State of an encoder or decoder inside libopus: made, reset and freed alike."""

    def __init__(
        self, what: str, library: LibOpus, calls: EncoderCalls | DecoderCalls, sample_rate_hz: int, *application: int
    ) -> None:
        self._what, self._lib, self._control = what, library, calls.control
        self.sample_rate_hz = sample_rate_hz
        error = ctypes.c_int(0)
        state = calls.create(sample_rate_hz, 1, *application, ctypes.byref(error))
        if not state or error.value != 0:
            raise OpusError(f"{what}: {library.describe_error(error.value)} at {sample_rate_hz} Hz")
        self._state = ctypes.c_void_p(state)
        self._finalizer = weakref.finalize(self, calls.destroy, self._state)

    def reset(self) -> None:
        """Forget the signal so far, as if fresh; settings stay."""
        self._require_open()
        self._control(self._state, _RESET_STATE)

    def close(self) -> None:
        """Free it; a second call does nothing."""
        self._finalizer()

    def _require_open(self) -> None:
        if not self._finalizer.alive:
            raise OpusError(f"{self._what}: it is closed")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class OpusEncoder(_Codec):
    """Mono speech to Opus packets at a variable rate; one thread at a time."""

    def __init__(
        self,
        bitrate_bps: int,
        packet_ms: int,
        bandwidth: Bandwidth = "wideband",
        *,
        complexity: int = 9,
        sample_rate_hz: int = 48_000,
        library: LibOpus | None = None,
    ) -> None:
        """Make an encoder.

        Args:
            bitrate_bps: mean rate of the Opus bytes, 6000..128000.
            packet_ms: duration of a packet, one of PACKET_DURATIONS_MS.
            bandwidth: "wideband" keeps 8 kHz at every rate; "auto" is narrowband below 10 kbps.
            complexity: 0..10; 9 and 10 sound alike.
            sample_rate_hz: of the PCM given to `encode`: 8, 12, 16, 24 or 48 kHz.
            library: another libopus than the process's own.

        Raises:
            OpusUnavailableError: no libopus on this machine.
            OpusError: an argument is out of range.
        """
        library = library or load_libopus()
        super().__init__("Opus encoder", library, library.encoder, sample_rate_hz, _APPLICATION_VOIP)
        self.name = f"{library.version} {bandwidth}"
        self._is_auto = bandwidth == "auto"
        self._repacketizer = ctypes.c_void_p(library.repacketizer.create())
        self._repacketizer_finalizer = weakref.finalize(self, library.repacketizer.destroy, self._repacketizer)
        self._buffer = ctypes.create_string_buffer(MAX_PACKET_BYTES)
        self._set(_SET_VBR, 1, "vbr")
        self._set(_SET_BANDWIDTH, _BANDWIDTHS[bandwidth], "bandwidth")
        self._set(_SET_SIGNAL, _SIGNAL_VOICE, "signal")
        self._set(_SET_COMPLEXITY, complexity, "complexity")
        self.configure(bitrate_bps=bitrate_bps, packet_ms=packet_ms)

    @property
    def samples_per_packet(self) -> int:
        """Samples that `encode` wants."""
        return self.sample_rate_hz * self.packet_ms // 1000

    def configure(self, *, bitrate_bps: int, packet_ms: int) -> None:
        """Change rate and packet duration between two packets; the sound goes on without a break.

        Raises:
            OpusError: out of range.
        """
        if packet_ms not in PACKET_DURATIONS_MS:
            raise OpusError(f"Opus encoder: packet_ms is {packet_ms}, must be one of {PACKET_DURATIONS_MS}")
        if not 6000 <= bitrate_bps <= 128_000:
            raise OpusError(f"Opus encoder: bitrate_bps is {bitrate_bps}, must be 6000 to 128000")
        self._set(_SET_BITRATE, bitrate_bps, "bitrate")
        self.bitrate_bps = bitrate_bps
        self.packet_ms = packet_ms

    def encode(self, pcm: NDArray[np.int16]) -> bytes:
        """Encode one packet.

        Args:
            pcm: [samples_per_packet] int16 mono; the caller buffers.

        Raises:
            OpusError: another number of samples, or the encoder is closed.
        """
        if pcm.shape != (self.samples_per_packet,) or pcm.dtype != np.int16:
            raise OpusError(
                f"Opus encoder: wants [{self.samples_per_packet}] int16 ({self.packet_ms} ms), "
                f"got {list(pcm.shape)} {pcm.dtype}; the caller buffers"
            )
        self._require_open()
        if self.packet_ms not in _JOINED_FRAME_MS or self.bitrate_bps >= _OWN_JOINING_BELOW_BPS or self._is_auto:
            return self._encode_frame(pcm)
        frame_samples = self.sample_rate_hz * _JOINED_FRAME_MS[self.packet_ms] // 1000
        return self._join(
            [self._encode_frame(pcm[i : i + frame_samples]) for i in range(0, pcm.shape[0], frame_samples)]
        )

    def _encode_frame(self, pcm: NDArray[np.int16]) -> bytes:
        samples = np.ascontiguousarray(pcm)
        encode = self._lib.encoder.encode
        size = encode(self._state, samples.ctypes.data, samples.shape[0], self._buffer, MAX_PACKET_BYTES)
        if size < 0:
            raise OpusError(f"Opus encoder: {self._lib.describe_error(size)}")
        return self._buffer.raw[:size]

    def _join(self, frames: list[bytes]) -> bytes:
        """One packet of several frames (RFC 6716 section 3.2); all have the same configuration."""
        calls = self._lib.repacketizer
        calls.init(self._repacketizer)
        for frame in frames:  # the repacketizer keeps pointers: `frames` outlives it
            code = calls.cat(self._repacketizer, frame, len(frame))
            if code != 0:
                raise OpusError(f"Opus encoder: joining frames: {self._lib.describe_error(code)}")
        size = calls.out(self._repacketizer, self._buffer, MAX_PACKET_BYTES)
        if size < 0:
            raise OpusError(f"Opus encoder: joining frames: {self._lib.describe_error(size)}")
        return self._buffer.raw[:size]

    def close(self) -> None:
        """Free the encoder; a second call does nothing."""
        super().close()
        self._repacketizer_finalizer()

    def _set(self, request: int, value: int, what: str) -> None:
        self._require_open()
        code = self._control(self._state, request, ctypes.c_int32(value))
        if code != 0:
            raise OpusError(f"Opus encoder: {what}={value}: {self._lib.describe_error(code)}")


class OpusDecoder(_Codec):
    """Opus packets to mono sound, with concealment; stereo packets are mixed down. One thread at a time."""

    def __init__(self, sample_rate_hz: int = 48_000, *, library: LibOpus | None = None) -> None:
        """Make a decoder; `sample_rate_hz` of the output: 8, 12, 16, 24 or 48 kHz.

        Raises:
            OpusUnavailableError: no libopus on this machine.
            OpusError: the rate is not one of those.
        """
        library = library or load_libopus()
        super().__init__("Opus decoder", library, library.decoder, sample_rate_hz)
        self._decode = library.decoder.decode
        self._max_samples = sample_rate_hz * _MAX_DECODED_MS // 1000

    def decode(self, packet: bytes | None, num_samples: int | None = None) -> NDArray[np.int16]:
        """Decode one packet, or conceal a missing one.

        Args:
            packet: an Opus packet, padding allowed; or None to continue the sound over a loss or, after a one-byte
                packet, with comfort noise.
            num_samples: how much to conceal, a positive multiple of 2.5 ms; ignored for a packet, which knows its
                own duration.

        Returns:
            [n] int16.

        Raises:
            OpusPacketError: the bytes are not an Opus packet.
            OpusError: `num_samples` is wrong, or the decoder is closed.
        """
        self._require_open()
        if packet is None:
            return self._conceal(num_samples)
        if not packet:
            raise OpusPacketError("Opus packet: empty")
        pcm = np.empty(self._max_samples, dtype=np.int16)
        count = self._decode(self._state, packet, len(packet), pcm.ctypes.data, self._max_samples, 0)
        if count < 0:
            raise OpusPacketError(f"Opus packet: {self._lib.describe_error(count)} ({len(packet)} bytes)")
        return pcm[:count]

    def _conceal(self, num_samples: int | None) -> NDArray[np.int16]:
        step = self.sample_rate_hz // 400  # 2.5 ms
        if num_samples is None or num_samples <= 0 or num_samples % step:
            raise OpusError(
                f"Opus decoder: num_samples is {num_samples}, must be a positive multiple of {step} (2.5 ms)"
            )
        pcm = np.empty(num_samples, dtype=np.int16)
        done = 0
        while done < num_samples:
            wanted = min(num_samples - done, self._max_samples)
            count = self._decode(self._state, None, 0, pcm[done:].ctypes.data, wanted, 0)
            if count <= 0:
                raise OpusError(f"Opus decoder: concealment failed: {self._lib.describe_error(count)}")
            done += count
        return pcm
