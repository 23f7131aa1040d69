"""The call as an MP4: H.264 and AAC with both clocks exact (ISO/IEC 14496-14).

Frame k has presentation time k / frame rate, a sample has its own number: neither is a wall-clock time, so picture
and sound cannot drift apart in the file. A frame that was never shown leaves the one before it on screen. The file
is written as fragments and made an ordinary MP4 when it is closed: after a crash, too, what was written can be played.
"""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from receiver.errors import SinkUnavailableError
from receiver.sinks.sink import SinkFormat

AUDIO_BITRATE_BPS = 96_000
VIDEO_OPTIONS = {"preset": "veryfast", "crf": "18", "bf": "0", "g": "50"}
"""No B-frames: the first frame's presentation time stays 0 in every player. A fragment is one group of frames, 2 s."""
CONTAINER_OPTIONS = {
    "movflags": "+hybrid_fragmented+frag_keyframe+delay_moov",
    "use_editlist": "1",
    "flush_packets": "1",
}


class Mp4Sink:
    """Writes `path`; it appears when the call starts and is complete when the sink is closed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.frames_written = 0
        self._container: OutputContainer | None = None
        self._video: VideoStream | None = None
        self._audio: AudioStream | None = None
        self._next_index = 0
        self._next_sample = 0
        self._sample_rate_hz = 48_000

    def open(self, media_format: SinkFormat) -> None:
        """Create the file.

        Raises:
            SinkUnavailableError: the folder does not exist or cannot be written to, or an encoder is missing.
        """
        if media_format.resolution_px % 2:
            raise SinkUnavailableError(f"{self.path}: H.264 needs an even size, got {media_format.resolution_px} px")
        try:
            self.path.open("wb").close()  # FFmpeg would find out only with the first packet
            self._container = av.open(os.fspath(self.path), "w", format="mp4", container_options=CONTAINER_OPTIONS)
            self._video = self._container.add_stream("libx264", rate=media_format.frame_rate, options=VIDEO_OPTIONS)
            self._audio = self._container.add_stream("aac", rate=media_format.sample_rate_hz, layout="mono")
        except (OSError, ValueError, av.error.FFmpegError) as error:
            raise SinkUnavailableError(
                f"{self.path} cannot be written ({error}): choose a folder that exists and is writable"
            ) from error
        self._video.width = self._video.height = media_format.resolution_px
        self._video.pix_fmt = "yuv420p"
        self._video.codec_context.time_base = 1 / media_format.frame_rate
        self._video.thread_count = 1
        self._audio.bit_rate = AUDIO_BITRATE_BPS
        self._sample_rate_hz = media_format.sample_rate_hz

    def write_audio(self, start_samples: int, pcm: NDArray[np.int16]) -> None:
        """A hole before `start_samples` (sound that a full queue dropped) becomes silence, so that time stays right."""
        if start_samples > self._next_sample:
            pcm = np.concatenate([np.zeros(start_samples - self._next_sample, dtype=np.int16), pcm])
        elif start_samples < self._next_sample:
            pcm = pcm[self._next_sample - start_samples :]
        if not pcm.shape[0]:
            return
        container, audio = self._open_streams()[0], self._open_streams()[2]
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm)[None, :], format="s16", layout="mono")
        frame.sample_rate = self._sample_rate_hz
        frame.pts = self._next_sample
        frame.time_base = Fraction(1, self._sample_rate_hz)
        self._next_sample += pcm.shape[0]
        container.mux(audio.encode(frame))

    def write_frame(self, index: int, samples: int, image: NDArray[np.uint8]) -> None:
        del samples  # the index says it exactly
        if index < self._next_index:
            return
        container, video, _ = self._open_streams()
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame.pts = index
        frame.time_base = video.codec_context.time_base
        self._next_index = index + 1
        self.frames_written += 1
        container.mux(video.encode(frame))

    def close(self) -> None:
        """Write what the encoders hold and the index; a file into which nothing was written is removed."""
        container, self._container = self._container, None
        if container is None:
            return
        try:
            if self._video is not None and self.frames_written:
                container.mux(self._video.encode(None))
            if self._audio is not None and self._next_sample:
                container.mux(self._audio.encode(None))
        finally:
            container.close()
        if not self.frames_written and not self._next_sample:
            self.path.unlink(missing_ok=True)

    def _open_streams(self) -> tuple[OutputContainer, VideoStream, AudioStream]:
        if self._container is None or self._video is None or self._audio is None:
            raise SinkUnavailableError(f"{self.path}: the file is closed")
        return self._container, self._video, self._audio
