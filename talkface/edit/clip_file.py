"""Media files of `talkface edit`: a video to look for directions in, and the pictures and films it writes."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from receiver.errors import ReceiverError
from receiver.sinks.mp4 import Mp4Sink
from receiver.sinks.sink import SinkFormat
from sender.errors import SourceError
from sender.sources.file_audio import FileAudio
from sender.sources.file_frames import FileFrames
from talkface.edit.face_edit import Clip, Picture
from talkface.errors import UserError
from talkface.outputs import make_folder_for
from talkface_core.sound.mel import SAMPLE_RATE_HZ as MODEL_RATE_HZ
from talkface_core.sound.resample import resample
from talkface_core.whole_file import write_whole

FRAME_RATE = Fraction(25)
SAMPLE_RATE_HZ = 48_000
MAX_VIDEO_S = 120


def read_clip(video: Path) -> Clip:
    """Frames at 25 per second and the sound at 16 kHz, from media time 0.

    Raises:
        UserError: it cannot be read, or is longer than two minutes.
    """
    source, sound = FileFrames(video, FRAME_RATE), FileAudio(video)
    frames, parts = [], []
    try:
        source.open()
        sound.open()
        while (frame := source.read_frame()) is not None:
            frames.append(frame.rgb)
            if len(frames) > MAX_VIDEO_S * FRAME_RATE:
                raise UserError(f"{video} is longer than {MAX_VIDEO_S} s", "cut a part out of it")
        while (part := sound.read(SAMPLE_RATE_HZ)) is not None:
            parts.append(part)
    except SourceError as error:
        raise UserError(str(error)) from error
    finally:
        source.close()
        sound.close()
    pcm = np.concatenate(parts).astype(np.float32) / 32768.0
    return Clip(frames, resample(pcm, SAMPLE_RATE_HZ, MODEL_RATE_HZ))


def write_png(path: Path, picture: Picture) -> None:
    """Write a picture [H, W, 3] uint8, with the folders it is in.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    Image.fromarray(picture).save(content, format="PNG")
    write_whole(path, content.getvalue())


def write_film(path: Path, frames: list[Picture]) -> None:
    """Write a silent MP4 of square frames at 25 per second.

    Raises:
        UserError: it cannot be written.
    """
    make_folder_for(path)
    sink = Mp4Sink(path)
    try:
        sink.open(SinkFormat(resolution_px=frames[0].shape[0], frame_rate=FRAME_RATE))
        for index, frame in enumerate(frames):
            sink.write_frame(index, 0, frame)
        sink.write_audio(0, np.zeros(int(len(frames) * SAMPLE_RATE_HZ / FRAME_RATE), dtype=np.int16))
        sink.close()
    except ReceiverError as error:
        raise UserError(str(error)) from error
    finally:
        sink.discard()  # unless it is complete, it is nothing
