"""The sound of a media file as one gapless mono stream at 48 kHz, placed by timestamps.

Decoded on demand, so a long file takes no more memory than a short one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from sender.errors import NoAudioError, UnreadableMediaError
from sender.sources.interfaces import SAMPLE_RATE_HZ
from sender.sources.media_file import MediaInfo, open_media, probe
from talkface_core.sound.resample import MAX_RATE_HZ, MIN_RATE_HZ, StreamingResampler

MAX_GAP_S = 10.0
MAX_OVERLAP_S = 1.0
"""Timestamps that jump farther than this, on or back, are a fault of the file: sound goes on without a gap."""
_TOLERANCE_S = 0.02
"""Timestamps may be off by so much before sound is moved; millisecond containers round."""
_MIX = {"FL": 0.5, "FR": 0.5, "FC": 0.7071, "LFE": 0.0}
_MIX_OTHER = 0.3536
"""Surround channels (ITU-R BS.775, then to mono)."""
_FULL_SCALE = {"u8": 128.0, "s16": 32768.0, "s32": 2147483648.0, "s64": 2.0**63, "flt": 1.0, "dbl": 1.0}


def mix_to_mono(frame: av.AudioFrame) -> NDArray[np.float32]:
    """Samples of a decoded frame, any format and layout, to [n] float32 in [-1, 1]."""
    raw = frame.to_ndarray()
    names = [channel.name for channel in frame.layout.channels]
    samples = raw if frame.format.is_planar else raw.reshape(-1, len(names)).T  # [channels, n]
    kind = frame.format.packed.name
    scaled: NDArray[np.float32] = samples.astype(np.float32) / np.float32(_FULL_SCALE[kind])
    if kind == "u8":
        scaled -= 1.0
    weights = [1.0] if len(names) == 1 else [_MIX.get(name, _MIX_OTHER) for name in names]
    mixed: NDArray[np.float32] = np.clip(np.array(weights, np.float32) @ scaled, -1.0, 1.0)
    return mixed


class FileAudio:
    """Sound of a file; not live: the caller paces."""

    is_live = False

    def __init__(self, path: Path, *, loop: bool = False) -> None:
        """Nothing is opened yet. `loop` starts again at the file's end, for ever."""
        self._path = path
        self._loop = loop
        self._container: InputContainer | None = None
        self._chunks: Iterator[NDArray[np.float32]] = iter(())
        self._pending: NDArray[np.float32] = np.zeros(0, np.float32)
        self._num_read = 0
        self.num_damaged_packets = 0
        self.info: MediaInfo | None = None

    def open(self) -> None:
        """Open the file and decode its first sound.

        Raises:
            SourceError: it cannot be read, or holds no sound that can be decoded.
        """
        self.info = probe(self._path)
        self._start()
        first = next(self._chunks, None)
        if first is None:
            self.close()
            raise NoAudioError(f"{self._path} holds no sound that can be decoded: choose another recording")
        self._pending = first

    def read(self, num_samples: int) -> NDArray[np.int16] | None:
        """The next [num_samples] int16; the last ones filled up with silence, then None."""
        parts = [self._pending]
        have = self._pending.shape[0]
        while have < num_samples:
            chunk = next(self._chunks, None)
            if chunk is None:
                if not self._loop or self._container is None:
                    break
                chunk = self._start_again()
            parts.append(chunk)
            have += chunk.shape[0]
        if have == 0:
            return None
        samples = np.concatenate(parts)
        self._pending = samples[num_samples:]
        self._num_read += num_samples
        full = np.zeros(num_samples, np.float32)
        full[: min(have, num_samples)] = samples[:num_samples]
        return np.round(np.clip(full, -1.0, 1.0) * 32767.0).astype(np.int16)

    def close(self) -> None:
        """Close the file."""
        self._chunks = iter(())
        if self._container is not None:
            self._container.close()
            self._container = None

    def _start(self) -> None:
        self._container = open_media(self._path)
        self._chunks = self._decode(self._container)
        self._num_decoded = 0

    def _start_again(self) -> NDArray[np.float32]:
        """Next round of the loop: silence up to the file's full duration first, so that pictures stay in step."""
        assert self.info is not None
        assert self._container is not None
        if self._num_decoded == 0:
            raise UnreadableMediaError(f"{self._path} holds no sound any more: it was changed during the call")
        rest = max((self.info.duration_ticks or 0) - self._num_decoded, 0)
        self._container.close()
        self._start()
        return np.zeros(rest, np.float32)

    def _decode(self, container: InputContainer) -> Iterator[NDArray[np.float32]]:
        """[n] at 48 kHz, chunk by chunk; sample i of the sum of all chunks is media time i / 48000."""
        resampler: StreamingResampler | None = None
        start_s, num_in = 0.0, 0  # media time at which the resampler began, and what it has taken
        fault_s = 0.0  # what to add to timestamps after a jump
        for frame in self._frames(container):
            if resampler is None or resampler.input_rate_hz != frame.sample_rate:
                if resampler is not None:
                    yield self._counted(resampler.flush())
                resampler = StreamingResampler(frame.sample_rate, SAMPLE_RATE_HZ)
                start_s, num_in = self._num_decoded / SAMPLE_RATE_HZ, 0
            samples = mix_to_mono(frame)
            position_s = self._position_s(frame)
            if position_s is not None:
                gap_s = position_s + fault_s - start_s - num_in / frame.sample_rate
                if not -MAX_OVERLAP_S <= gap_s <= MAX_GAP_S:
                    fault_s -= gap_s
                elif gap_s > _TOLERANCE_S:
                    samples = np.concatenate([np.zeros(round(gap_s * frame.sample_rate), np.float32), samples])
                elif gap_s < -_TOLERANCE_S:
                    samples = samples[round(-gap_s * frame.sample_rate) :]
            num_in += samples.shape[0]
            chunk = resampler.process(samples)
            if chunk.shape[0]:
                yield self._counted(chunk)
        if resampler is not None:
            yield self._counted(resampler.flush())

    def _counted(self, chunk: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._loop and self.info is not None and self.info.duration_ticks is not None:
            chunk = chunk[: max(self.info.duration_ticks - self._num_decoded, 0)]  # pictures loop with this period
        self._num_decoded += chunk.shape[0]
        return chunk

    def _position_s(self, frame: av.AudioFrame) -> float | None:
        """Media time of the frame in seconds."""
        if frame.pts is None or frame.time_base is None:
            return None
        assert self.info is not None
        return float(frame.pts * frame.time_base) - self.info.origin_us / 1e6

    def _frames(self, container: InputContainer) -> Iterator[av.AudioFrame]:
        """Decoded frames; damaged packets are counted and passed over."""
        packets = container.demux(container.streams.audio[0])
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError):
                self.num_damaged_packets += 1  # a truncated file ends here
                return
            if packet is None:
                return
            try:
                frames = [frame for frame in packet.decode() if isinstance(frame, av.AudioFrame)]
            except av.EOFError:
                continue  # flushed twice
            except av.FFmpegError:
                self.num_damaged_packets += 1
                continue
            for frame in frames:
                if MIN_RATE_HZ <= frame.sample_rate <= MAX_RATE_HZ and frame.samples > 0:
                    yield frame
                else:
                    self.num_damaged_packets += 1


def read_all(path: Path) -> NDArray[np.int16]:
    """The whole sound of a file at 48 kHz, [n] int16; for short files and tools.

    Raises:
        SourceError: it cannot be read.
    """
    source = FileAudio(path)
    source.open()
    parts = []
    try:
        while (part := source.read(SAMPLE_RATE_HZ)) is not None:
            parts.append(part)
    finally:
        source.close()
    if not parts:
        raise UnreadableMediaError(f"{path} holds no sound that can be decoded")
    return np.concatenate(parts)
