"""Any video file to frames at exact 25 frames/s of time and 16 kHz mono sound on the same clock.

A tick k is the moment k / 25 s after the first video frame; the frame shown nearest to it is taken, so 22, 30 and 60
frames/s files neither drift nor change speed. Sound is placed by its own timestamps: a late start becomes silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

FRAME_RATE = Fraction(25)
SAMPLE_RATE_HZ = 16_000
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
VIDEO_SUFFIXES = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".m4v", ".mts", ".wmv", ".flv", ".3gp"}
MAX_JUMP_S = 1
"""Timestamps that go on or back by more than this between two pictures or pieces of sound are no time any more."""
_MAX_UNSTAMPED = 100
"""Pictures at the start without a timestamp that wait for the first one with it."""
_MAX_JITTER_SAMPLES = SAMPLE_RATE_HZ // 50
"""Sound that is up to 20 ms off its place follows on; timestamps of many containers are coarse."""


class MediaError(ValueError):
    """A file cannot be used; the message is the reason that the drop report gives."""


OnJump = Callable[[float, str], None]
"""Told the second after the first picture at which timestamps jump, and what jumps; what comes after is not read."""


@dataclass(frozen=True, slots=True)
class Tick:
    """The picture at one 25th of a second."""

    number: int
    frame: NDArray[np.uint8]
    """[H, W, 3] RGB, upright, contiguous; the same array again when no newer picture was there."""


def read_ticks(path: Path, max_ticks: int = 1_000_000, on_jump: OnJump | None = None) -> Iterator[Tick]:
    """Pictures at 25 per second, one at a time, up to a jump of the timestamps.

    Raises:
        MediaError: no video, or a damaged file that gives no picture at all. Damage after the first picture ends
            the video there.
    """
    if path.suffix.lower() in IMAGE_SUFFIXES:
        yield Tick(0, _read_image(path))
        return
    number = 0
    previous: tuple[Fraction, NDArray[np.uint8]] | None = None
    for time, frame in _timed_frames(path, on_jump):
        if previous is None:
            previous = (time, frame)
            continue
        # Ticks nearer to the previous picture than to this one are the previous one's.
        while Fraction(number, 25) <= (previous[0] + time) / 2 and number < max_ticks:
            yield Tick(number, previous[1])
            number += 1
        previous = (time, frame)
    if previous is None:
        raise MediaError("holds no picture that can be decoded")
    while Fraction(number, 25) <= previous[0] + Fraction(1, 50) and number < max_ticks:
        yield Tick(number, previous[1])
        number += 1


def _timed_frames(path: Path, on_jump: OnJump | None) -> Iterator[tuple[Fraction, NDArray[np.uint8]]]:
    """(seconds since the first picture, picture), times never going back."""
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        raise MediaError(f"cannot be opened: {_reason(error)}") from error
    with container:
        if not container.streams.video:
            raise MediaError("has no video stream")
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        start: Fraction | None = None
        last = Fraction(-1)
        try:
            for time, frame in _stamped(container):
                start = time if start is None else start
                if last >= 0 and abs(time - start - last) > MAX_JUMP_S:
                    if on_jump is not None:
                        on_jump(float(last), f"picture timestamps jump by {float(time - start - last):+.1f} s")
                    return
                if time - start <= last and last >= 0:
                    continue
                last = time - start
                picture = np.ascontiguousarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
                turns = round(frame.rotation / 90) % 4
                yield last, np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture
        except (av.FFmpegError, OSError) as error:
            if start is None:
                raise MediaError(f"cannot be decoded: {_reason(error)}") from error


def _stamped(container: av.container.InputContainer) -> Iterator[tuple[Fraction, av.VideoFrame]]:
    """Decoded pictures with their time; one without a timestamp comes a picture after the one before it, and those at
    the start come before the first that has one."""
    stream = container.streams.video[0]
    step = 1 / Fraction(stream.average_rate or 25)
    waiting: list[av.VideoFrame] = []
    last: Fraction | None = None
    for frame in container.decode(stream):
        time = Fraction(frame.pts) * frame.time_base if frame.pts is not None and frame.time_base is not None else None
        if last is None and time is None and len(waiting) < _MAX_UNSTAMPED:
            waiting.append(frame)
            continue
        if last is None:
            first = (time if time is not None else len(waiting) * step) - len(waiting) * step
            yield from ((first + index * step, one) for index, one in enumerate(waiting))
            last, waiting = first + (len(waiting) - 1) * step, []
        last = last + step if time is None else time
        yield last, frame
    yield from ((index * step, one) for index, one in enumerate(waiting))


def _read_image(path: Path) -> NDArray[np.uint8]:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
            return np.array(upright)
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise MediaError(f"is not a readable picture: {error}") from error


def read_sound(path: Path, on_jump: OnJump | None = None) -> NDArray[np.int16] | None:
    """Sound at 16 kHz mono; sample 0 is at the time of the first picture, or of zero in a file of sound alone.

    Up to a jump of the timestamps; None when there is no sound stream.

    Raises:
        MediaError: the file cannot be opened.
    """
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return None
    start = _first_picture_time(path)
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                return None
            parts = _placed_parts(container, start, on_jump)
    except (av.FFmpegError, OSError) as error:
        raise MediaError(f"cannot be opened: {_reason(error)}") from error
    length = max((at + len(part) for at, part in parts), default=0)
    sound = np.zeros(max(length, 0), np.int16)
    for at, part in parts:
        skip = max(0, -at)
        sound[at + skip : at + len(part)] = part[skip:]
    return sound


def _placed_parts(
    container: av.container.InputContainer, start: Fraction, on_jump: OnJump | None
) -> list[tuple[int, NDArray[np.int16]]]:
    """Resampled pieces and the sample at which each begins; damage ends the sound there."""
    resampler = av.AudioResampler("s16", "mono", SAMPLE_RATE_HZ)
    parts: list[tuple[int, NDArray[np.int16]]] = []
    expected: int | None = None

    def place(frame: av.AudioFrame) -> bool:
        """False at a jump."""
        nonlocal expected
        samples = frame.to_ndarray()[0].astype(np.int16, copy=False)
        at = expected
        if frame.pts is not None and frame.time_base is not None:
            stamped = round((Fraction(frame.pts) * frame.time_base - start) * SAMPLE_RATE_HZ)
            if at is not None and abs(stamped - at) > MAX_JUMP_S * SAMPLE_RATE_HZ:
                if on_jump is not None:
                    on_jump(at / SAMPLE_RATE_HZ, f"sound timestamps jump by {(stamped - at) / SAMPLE_RATE_HZ:+.1f} s")
                return False
            if at is None or abs(stamped - at) > _MAX_JITTER_SAMPLES:
                at = stamped
        at = 0 if at is None else at
        if at + len(samples) > 0:
            parts.append((at, samples))
        expected = at + len(samples)
        return True

    try:
        for frame in container.decode(audio=0):
            if not all(place(piece) for piece in resampler.resample(frame)):
                return parts
        for piece in resampler.resample(None):
            place(piece)
    except (av.FFmpegError, OSError):
        pass  # what came before the damage is good; clips beyond it have no sound and are dropped as silent
    return parts


def _first_picture_time(path: Path) -> Fraction:
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                return Fraction(0)
            for time, _ in _stamped(container):
                return time
    except (av.FFmpegError, OSError, IndexError) as error:
        raise MediaError(f"cannot be decoded: {_reason(error)}") from error
    raise MediaError("holds no picture that can be decoded")


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
