"""A media file: what is in it, and opening it with clear words when that fails."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
from av.container import InputContainer

from sender.errors import NoAudioError, NoVideoError, UnreadableMediaError
from sender.sources.interfaces import MAX_PICTURE_SIDE_PX, SAMPLE_RATE_HZ
from talkface_core.sound.resample import MAX_RATE_HZ, MIN_RATE_HZ

_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What a file holds."""

    path: Path
    has_video: bool
    origin_us: int
    """Timestamp in the file that is media time 0: where the earlier of sound and picture starts."""
    duration_ticks: int | None
    """48 kHz; None when the file does not say."""


def open_media(path: Path) -> InputContainer:
    """Open a file for reading.

    Raises:
        UnreadableMediaError: missing, empty, not media, or not permitted.
    """
    try:
        if path.is_file() and path.stat().st_size == 0:
            raise UnreadableMediaError(f"{path} is empty: choose a recording")
        return av.open(str(path), mode="r")
    except FileNotFoundError:
        raise UnreadableMediaError(f"{path} does not exist: check the name") from None
    except PermissionError:
        raise UnreadableMediaError(f"{path} may not be read: check its permissions") from None
    except IsADirectoryError:
        raise UnreadableMediaError(f"{path} is a folder: name a file in it") from None
    except (av.FFmpegError, ValueError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableMediaError(f"{path} is not a recording that can be read ({reason})") from None


def probe(path: Path) -> MediaInfo:
    """Look into a file and check that a call can be made of it.

    Raises:
        UnreadableMediaError: it cannot be read, or its sound has an unusable rate.
        NoAudioError: it holds no sound.
    """
    with open_media(path) as container:
        if not container.streams.audio:
            raise NoAudioError(f"{path} holds no sound: choose a recording with speech")
        audio = container.streams.audio[0]
        if audio.codec_context is None:
            raise UnreadableMediaError(f"{path} has sound of an unknown kind: convert it to WAV or MP4 first")
        if not MIN_RATE_HZ <= audio.rate <= MAX_RATE_HZ:
            raise UnreadableMediaError(
                f"{path} has sound at {audio.rate} Hz: it must be {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz"
            )
        streams = [audio, *container.streams.video[:1]]
        starts = [
            int(stream.start_time * stream.time_base * _MICROSECONDS)
            for stream in streams
            if stream.start_time is not None and stream.time_base is not None
        ]
        duration = container.duration
        return MediaInfo(
            path=path,
            has_video=bool(container.streams.video) and not _is_cover(container),
            origin_us=min(starts, default=0),
            duration_ticks=duration * SAMPLE_RATE_HZ // _MICROSECONDS if duration and duration > 0 else None,
        )


def check_video(info: MediaInfo) -> None:
    """Check that live style can be taken from the file.

    Raises:
        NoVideoError: it holds no moving picture.
        UnreadableMediaError: the picture is too large.
    """
    if not info.has_video:
        raise NoVideoError(f"{info.path} holds no picture: use --style reference or --style none with it")
    with open_media(info.path) as container:
        context = container.streams.video[0].codec_context
        if context is None:
            raise UnreadableMediaError(f"{info.path} has a picture of an unknown kind: convert it to MP4 first")
        if max(context.width, context.height) > MAX_PICTURE_SIDE_PX:
            raise UnreadableMediaError(
                f"{info.path} has pictures of {context.width}x{context.height}: at most {MAX_PICTURE_SIDE_PX} a side"
            )


def _is_cover(container: InputContainer) -> bool:
    """A music file's cover picture is a video stream of one frame."""
    return bool(container.streams.video[0].disposition & av.stream.Disposition.attached_pic)
