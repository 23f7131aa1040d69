"""Opus through libopus itself (RFC 6716): forced wideband, variable rate, and concealment of lost packets.

FFmpeg's wrapper offers neither a forced bandwidth (below 10 kbps it falls to narrowband, and the fricatives that a
face is read from are gone) nor concealment, so libopus is called through ctypes: the copy that the PyAV wheel
carries, else the system's. Nothing is loaded before the first encoder or decoder is made.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import weakref
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from talkface_core.errors import CoreError

Bandwidth = Literal["auto", "narrowband", "wideband", "fullband"]

PACKET_DURATIONS_MS: Final = (20, 40, 60, 80, 100, 120)
_JOINED_FRAME_MS: Final = {80: 40, 100: 20, 120: 60}
_OWN_JOINING_BELOW_BPS: Final = 10_000
"""Packets above 60 ms are several frames. libopus's own joining caps every frame at the mean rate, and below 8 kbps it
falls to narrowband for that reason, whatever bandwidth is set; so there we join the frames ourselves. (At higher
rates libopus may change its mode between frames, which only its own joining prevents inside one packet.)"""
MAX_PACKET_BYTES: Final = 4000
"""More than any packet at our rates, and the buffer size that libopus recommends."""

_APPLICATION_VOIP: Final = 2048
_AUTO: Final = -1000
_SIGNAL_VOICE: Final = 3001
_SET_BITRATE: Final = 4002
_SET_VBR: Final = 4006
_SET_BANDWIDTH: Final = 4008
_SET_COMPLEXITY: Final = 4010
_SET_SIGNAL: Final = 4024
_RESET_STATE: Final = 4028
_BANDWIDTHS: Final[dict[str, int]] = {"auto": _AUTO, "narrowband": 1101, "wideband": 1103, "fullband": 1105}
_SYSTEM_NAMES: Final = ("libopus.so.0", "libopus.0.dylib", "libopus.so", "opus.dll", "libopus-0.dll")
_MAX_DECODED_MS: Final = 120


class OpusUnavailableError(CoreError):
    """No libopus on this machine; the caller may fall back to another encoder, the message names the fix."""


class OpusError(CoreError):
    """libopus refused an argument; a bug of the caller."""


class OpusPacketError(OpusError):
    """Bytes are not an Opus packet. The decoder stays usable; the receiver drops the packet and conceals."""


class LibOpus:
    """The functions of one libopus shared library that we call, with their C types."""

    def __init__(self, path: str) -> None:
        """Load the library; raises OSError when it cannot be loaded, AttributeError when it is not libopus."""
        lib = ctypes.CDLL(path)
        self.path = path
        pointer, integer, int32 = ctypes.c_void_p, ctypes.c_int, ctypes.c_int32
        error_pointer = ctypes.POINTER(ctypes.c_int)

        self.version_string = lib.opus_get_version_string
        self.version_string.argtypes, self.version_string.restype = [], ctypes.c_char_p
        self.strerror = lib.opus_strerror
        self.strerror.argtypes, self.strerror.restype = [integer], ctypes.c_char_p

        self.encoder_create = lib.opus_encoder_create
        self.encoder_create.argtypes, self.encoder_create.restype = [int32, integer, integer, error_pointer], pointer
        self.encoder_destroy = lib.opus_encoder_destroy
        self.encoder_destroy.argtypes, self.encoder_destroy.restype = [pointer], None
        self.encode = lib.opus_encode
        self.encode.argtypes, self.encode.restype = [pointer, pointer, integer, pointer, int32], int32
        self.repacketizer_create = lib.opus_repacketizer_create
        self.repacketizer_create.argtypes, self.repacketizer_create.restype = [], pointer
        self.repacketizer_destroy = lib.opus_repacketizer_destroy
        self.repacketizer_destroy.argtypes, self.repacketizer_destroy.restype = [pointer], None
        self.repacketizer_init = lib.opus_repacketizer_init
        self.repacketizer_init.argtypes, self.repacketizer_init.restype = [pointer], pointer
        self.repacketizer_cat = lib.opus_repacketizer_cat
        self.repacketizer_cat.argtypes = [pointer, ctypes.c_char_p, int32]
        self.repacketizer_cat.restype = integer
        self.repacketizer_out = lib.opus_repacketizer_out
        self.repacketizer_out.argtypes, self.repacketizer_out.restype = [pointer, pointer, int32], int32
        # Variadic in C: only the fixed arguments are declared, so that ctypes follows the variadic convention
        # where it differs (arm64 macOS); callers wrap the value in c_int32.
        self.encoder_ctl = lib.opus_encoder_ctl
        self.encoder_ctl.argtypes, self.encoder_ctl.restype = [pointer, integer], integer

        self.decoder_create = lib.opus_decoder_create
        self.decoder_create.argtypes, self.decoder_create.restype = [int32, integer, error_pointer], pointer
        self.decoder_destroy = lib.opus_decoder_destroy
        self.decoder_destroy.argtypes, self.decoder_destroy.restype = [pointer], None
        self.decode = lib.opus_decode
        self.decode.argtypes = [pointer, ctypes.c_char_p, int32, pointer, integer, integer]
        self.decode.restype = integer
        self.decoder_ctl = lib.opus_decoder_ctl
        self.decoder_ctl.argtypes, self.decoder_ctl.restype = [pointer, integer], integer

    @property
    def version(self) -> str:
        """For example "libopus 1.6.1"."""
        return bytes(self.version_string()).decode("ascii", "replace")

    def describe_error(self, code: int) -> str:
        """libopus's words for a negative return value."""
        return bytes(self.strerror(code)).decode("ascii", "replace")


def libopus_candidates() -> list[str]:
    """Where libopus may be, best first: the copy in the PyAV wheel (without importing av), then the system's."""
    candidates: list[str] = []
    spec = importlib.util.find_spec("av")
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).parent
        for folder in (package.parent / "av.libs", package / ".dylibs"):
            candidates += sorted(str(path) for path in folder.glob("*opus*") if path.is_file())
    return candidates + list(_SYSTEM_NAMES)


def open_libopus(candidates: Iterable[str]) -> LibOpus:
    """Load the first of `candidates` that is a libopus.

    Raises:
        OpusUnavailableError: none can be loaded.
    """
    for candidate in candidates:
        try:
            return LibOpus(candidate)
        except (OSError, AttributeError):
            continue
    raise OpusUnavailableError(
        "libopus was not found, neither in the av package nor on the system: "
        "install av from its binary wheel, or the system package (Debian: libopus0)"
    )


@functools.cache
def load_libopus() -> LibOpus:
    """The libopus of this process, loaded once.

    Raises:
        OpusUnavailableError: there is none.
    """
    return open_libopus(libopus_candidates())


class OpusEncoder:
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
        self._lib = library or load_libopus()
        self.name = f"{self._lib.version} {bandwidth}"
        self.sample_rate_hz = sample_rate_hz
        self._is_auto = bandwidth == "auto"
        error = ctypes.c_int(0)
        state = self._lib.encoder_create(sample_rate_hz, 1, _APPLICATION_VOIP, ctypes.byref(error))
        if not state or error.value != 0:
            raise OpusError(f"Opus encoder: {self._lib.describe_error(error.value)} at {sample_rate_hz} Hz")
        self._state = ctypes.c_void_p(state)
        self._finalizer = weakref.finalize(self, self._lib.encoder_destroy, self._state)
        self._repacketizer = ctypes.c_void_p(self._lib.repacketizer_create())
        self._repacketizer_finalizer = weakref.finalize(self, self._lib.repacketizer_destroy, self._repacketizer)
        self._buffer = ctypes.create_string_buffer(MAX_PACKET_BYTES)
        self._control(_SET_VBR, 1, "vbr")
        self._control(_SET_BANDWIDTH, _BANDWIDTHS[bandwidth], "bandwidth")
        self._control(_SET_SIGNAL, _SIGNAL_VOICE, "signal")
        self._control(_SET_COMPLEXITY, complexity, "complexity")
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
        self._control(_SET_BITRATE, bitrate_bps, "bitrate")
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
        size = self._lib.encode(self._state, samples.ctypes.data, samples.shape[0], self._buffer, MAX_PACKET_BYTES)
        if size < 0:
            raise OpusError(f"Opus encoder: {self._lib.describe_error(size)}")
        return self._buffer.raw[:size]

    def _join(self, frames: list[bytes]) -> bytes:
        """One packet of several frames (RFC 6716 section 3.2); all have the same configuration."""
        self._lib.repacketizer_init(self._repacketizer)
        for frame in frames:  # the repacketizer keeps pointers: `frames` outlives it
            code = self._lib.repacketizer_cat(self._repacketizer, frame, len(frame))
            if code != 0:
                raise OpusError(f"Opus encoder: joining frames: {self._lib.describe_error(code)}")
        size = self._lib.repacketizer_out(self._repacketizer, self._buffer, MAX_PACKET_BYTES)
        if size < 0:
            raise OpusError(f"Opus encoder: joining frames: {self._lib.describe_error(size)}")
        return self._buffer.raw[:size]

    def reset(self) -> None:
        """Forget the signal so far, as a fresh encoder; settings stay."""
        self._require_open()
        self._lib.encoder_ctl(self._state, _RESET_STATE)

    def close(self) -> None:
        """Free the encoder; a second call does nothing."""
        self._finalizer()
        self._repacketizer_finalizer()

    def _require_open(self) -> None:
        if not self._finalizer.alive:
            raise OpusError("Opus encoder: it is closed")

    def _control(self, request: int, value: int, what: str) -> None:
        self._require_open()
        code = self._lib.encoder_ctl(self._state, request, ctypes.c_int32(value))
        if code != 0:
            raise OpusError(f"Opus encoder: {what}={value}: {self._lib.describe_error(code)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class OpusDecoder:
    """Opus packets to mono sound, with concealment; stereo packets are mixed down. One thread at a time."""

    def __init__(self, sample_rate_hz: int = 48_000, *, library: LibOpus | None = None) -> None:
        """Make a decoder; `sample_rate_hz` of the output: 8, 12, 16, 24 or 48 kHz.

        Raises:
            OpusUnavailableError: no libopus on this machine.
            OpusError: the rate is not one of those.
        """
        self._lib = library or load_libopus()
        self.sample_rate_hz = sample_rate_hz
        error = ctypes.c_int(0)
        state = self._lib.decoder_create(sample_rate_hz, 1, ctypes.byref(error))
        if not state or error.value != 0:
            raise OpusError(f"Opus decoder: {self._lib.describe_error(error.value)} at {sample_rate_hz} Hz")
        self._state = ctypes.c_void_p(state)
        self._finalizer = weakref.finalize(self, self._lib.decoder_destroy, self._state)
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
        if not self._finalizer.alive:
            raise OpusError("Opus decoder: it is closed")
        if packet is None:
            return self._conceal(num_samples)
        if not packet:
            raise OpusPacketError("Opus packet: empty")
        pcm = np.empty(self._max_samples, dtype=np.int16)
        count = self._lib.decode(self._state, packet, len(packet), pcm.ctypes.data, self._max_samples, 0)
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
            count = self._lib.decode(self._state, None, 0, pcm[done:].ctypes.data, wanted, 0)
            if count <= 0:
                raise OpusError(f"Opus decoder: concealment failed: {self._lib.describe_error(count)}")
            done += count
        return pcm

    def reset(self) -> None:
        """Forget the signal so far, as a fresh decoder."""
        if not self._finalizer.alive:
            raise OpusError("Opus decoder: it is closed")
        self._lib.decoder_ctl(self._state, _RESET_STATE)

    def close(self) -> None:
        """Free the decoder; a second call does nothing."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
