"""The pictures of a media file at the model's frame rate: for each model frame the source picture nearest in time."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from sender.sources.file_audio import MAX_GAP_S, MAX_OVERLAP_S
from sender.sources.interfaces import SAMPLE_RATE_HZ, STYLE_PICTURE_SIDE_PX, VideoFrame
from sender.sources.media_file import MediaInfo, check_video, open_media, probe


def upright_rgb(frame: av.VideoFrame, max_side_px: int = STYLE_PICTURE_SIDE_PX) -> NDArray[np.uint8]:
    """Decoded picture to [H, W, 3] uint8: scaled to at most `max_side_px`, turned upright, contiguous."""
    scale = min(1.0, max_side_px / max(frame.width, frame.height))
    width, height = max(2, round(frame.width * scale)), max(2, round(frame.height * scale))
    rgb = frame.reformat(width=width, height=height, format="rgb24").to_ndarray()
    turns = round(frame.rotation / 90) % 4
    # Odd widths come as strided views; whoever reads the memory directly would see a slanted picture.
    return np.ascontiguousarray(np.rot90(rgb, turns) if turns else rgb)


class _Picked(NamedTuple):
    """A model frame: its time and the source picture that stands for it."""

    ticks: int
    picture: av.VideoFrame


class FileFrames:
    """Pictures of a file; not live. Decoded on demand, two pictures in memory at most."""

    is_live = False

    def __init__(self, path: Path, frame_rate: Fraction, *, loop: bool = False) -> None:
        """Nothing is opened yet. `loop` repeats with the period of `FileAudio`."""
        self._path = path
        self._frame_rate = frame_rate
        self._loop = loop
        self._picked: Iterator[_Picked] = iter(())
        self._container: InputContainer | None = None
        self._info: MediaInfo | None = None
        self.num_damaged_packets = 0

    def open(self) -> None:
        """Open the file.

        Raises:
            SourceError: it cannot be read or holds no picture.
        """
        self._info = probe(self._path)
        check_video(self._info)
        self._picked = self._pick_rounds()

    def read_frame(self) -> VideoFrame | None:
        """The next model frame, None at the end."""
        picked = next(self._picked, None)
        return None if picked is None else VideoFrame(picked.ticks, upright_rgb(picked.picture))

    def skip_frame(self) -> int | None:
        """Pass over the next model frame; its ticks, None at the end."""
        picked = next(self._picked, None)
        return None if picked is None else picked.ticks

    def close(self) -> None:
        """Close the file."""
        self._picked = iter(())
        if self._container is not None:
            self._container.close()
            self._container = None

    def _pick_rounds(self) -> Iterator[_Picked]:
        """Model frames of one round, or of endless ones."""
        assert self._info is not None
        offset = 0
        while True:
            end = None if not self._loop else self._info.duration_ticks
            last = -1
            for picked in self._pick(end):
                last = picked.ticks
                yield _Picked(offset + picked.ticks, picked.picture)
            if not self._loop or last < 0:
                return
            offset += end if end is not None else last + round(SAMPLE_RATE_HZ / self._frame_rate)

    def _pick(self, end_ticks: int | None) -> Iterator[_Picked]:
        """Nearest source picture for every model frame: k / frame_rate, k = 0, 1, ..."""
        index = 0
        due = 0
        current: av.VideoFrame | None = None
        current_ticks = 0
        for picture, ticks in self._pictures():
            while current is not None and 2 * due < current_ticks + ticks:
                if end_ticks is not None and due >= end_ticks:
                    return
                yield _Picked(due, current)
                index += 1
                due = round(index * SAMPLE_RATE_HZ / self._frame_rate)
            current, current_ticks = picture, ticks
        # The last picture stands for its own time only, or until the round of a loop ends.
        while current is not None and due < (end_ticks if end_ticks is not None else current_ticks + 1):
            yield _Picked(due, current)
            index += 1
            due = round(index * SAMPLE_RATE_HZ / self._frame_rate)

    def _pictures(self) -> Iterator[tuple[av.VideoFrame, int]]:
        """Source pictures with their media time in ticks, growing; damaged packets are counted and passed over."""
        assert self._info is not None
        if self._container is not None:
            self._container.close()
        self._container = container = open_media(self._path)
        stream = container.streams.video[0]
        interval = round(SAMPLE_RATE_HZ / (stream.average_rate or self._frame_rate))
        last_ticks = -interval
        fault_ticks = 0  # what to add to timestamps after a jump
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                pictures = [frame for frame in packet.decode() if isinstance(frame, av.VideoFrame)]
            except av.EOFError:
                continue
            except (av.FFmpegError, OSError):
                self.num_damaged_packets += 1
                if packet is None:
                    return
                continue
            for picture in pictures:
                ticks = last_ticks + interval
                if picture.pts is not None and picture.time_base is not None:
                    seconds = picture.pts * picture.time_base - Fraction(self._info.origin_us, 1_000_000)
                    ticks = round(seconds * SAMPLE_RATE_HZ) + fault_ticks
                    if not -MAX_OVERLAP_S <= (ticks - last_ticks) / SAMPLE_RATE_HZ <= MAX_GAP_S:
                        fault_ticks += last_ticks + interval - ticks
                        ticks = last_ticks + interval
                if ticks > last_ticks:
                    last_ticks = ticks
                    yield picture, ticks
