"""Frames to a small H.264 file and back; the only place where training touches a video library.

PyAV writes and reads; where it is missing (a bare training machine) OpenCV reads. Frames are [T, H, W, 3] uint8 RGB.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from talkface_core.whole_file import written_beside

FRAME_RATE = Fraction(25)
CRF = 12
"""Quantiser of prepared clips: about 45 dB against the crop, a twentieth of the pixels' size."""

Frames = NDArray[np.uint8]


class ClipVideoError(ValueError):
    """A clip's video cannot be read or written; the message names the file."""


def write_video(path: Path, frames: Frames, *, crf: int = CRF, audio: NDArray[np.int16] | None = None) -> None:
    """Write frames at 25 frames/s, with 16 kHz mono sound as AAC when given.

    Raises:
        ClipVideoError: no encoder here, or the disk is full.
    """
    import av

    try:
        with written_beside(path) as partial, av.open(str(partial), "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=FRAME_RATE)
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = "yuv420p"
            stream.options = {"crf": str(crf), "preset": "veryfast", "threads": "1"}
            sound = container.add_stream("aac", rate=16_000, layout="mono") if audio is not None else None
            for frame in frames:
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
                container.mux(stream.encode(picture))
            container.mux(stream.encode())
            if sound is not None and audio is not None:
                for start in range(0, len(audio) - len(audio) % 1024, 1024):
                    block = av.AudioFrame.from_ndarray(audio[None, start : start + 1024], format="s16", layout="mono")
                    block.sample_rate, block.pts = 16_000, start
                    container.mux(sound.encode(block))
                container.mux(sound.encode())
    except (av.FFmpegError, OSError) as error:
        raise ClipVideoError(f"{path}: cannot be written: {error}") from error


def read_video(path: Path, max_frames: int = 100_000) -> Frames:
    """Read every frame of a prepared clip.

    Raises:
        ClipVideoError: the file is missing, damaged or empty.
    """
    frames = []
    for frame in _decode(path):
        frames.append(frame)
        if len(frames) > max_frames:
            raise ClipVideoError(f"{path}: more than {max_frames} frames; prepare cuts clips shorter than that")
    if not frames:
        raise ClipVideoError(f"{path}: holds no frame")
    return np.stack(frames)


def _decode(path: Path) -> Iterator[Frames]:
    try:
        import av
    except ImportError:
        yield from _decode_with_opencv(path)
        return
    try:
        with av.open(str(path)) as container:
            container.streams.video[0].thread_type = "NONE"
            for frame in container.decode(video=0):
                # to_ndarray may return a strided view of a padded picture.
                yield np.ascontiguousarray(frame.to_ndarray(format="rgb24"))
    except (av.FFmpegError, OSError, IndexError) as error:
        raise ClipVideoError(f"{path}: cannot be read: {error}") from error


def _decode_with_opencv(path: Path) -> Iterator[Frames]:
    try:
        import cv2
    except ImportError:
        raise ClipVideoError(f"{path}: neither PyAV nor OpenCV is installed; pip install av") from None
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise ClipVideoError(f"{path}: cannot be read by OpenCV")
        while True:
            there, frame = capture.read()
            if not there:
                return
            yield np.ascontiguousarray(frame[:, :, ::-1]).astype(np.uint8, copy=False)
    finally:
        capture.release()
