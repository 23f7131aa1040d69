"""The call as an MP4: H.264 and AAC with both clocks exact (ISO/IEC 14496-14).

Frame k has presentation time k / frame rate, a sample has its own number: neither is a wall-clock time, so picture
and sound cannot drift apart in the file. A frame that was never shown leaves the one before it on screen. The file
is written as fragments, under another name (`recording.py`), and made an ordinary MP4 when it is closed: after a crash,
too, what was written can be played.
"""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from receiver.errors import SinkBrokenError, SinkUnavailableError
from receiver.sinks.recording import Recording, RecordingFile, announced_s, new_partial, playable_s
from receiver.sinks.sink import SinkFormat
from talkface_core.output_path import OutputPathError, check_output_file
from talkface_core.whole_file import is_special, put_in_place, resolved

AUDIO_BITRATE_BPS = 96_000
VIDEO_OPTIONS = {"preset": "veryfast", "crf": "18", "bf": "0", "g": "50"}
"""No B-frames: the first frame's presentation time stays 0 in every player. A fragment is one group of frames, 2 s."""
CONTAINER_OPTIONS = {
    "movflags": "+hybrid_fragmented+frag_keyframe+delay_moov",
    "use_editlist": "1",
    "flush_packets": "1",
}
END_TOLERANCE_S = 0.5
"""A finished file says its length; one that says much less lost its end to a disk that told nobody."""
_WRITE_ERRORS = (OSError, ValueError, av.error.FFmpegError)


class Mp4Sink:
    """Records to `path`, which appears when the sink is closed; what was there stays until then."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.frames_written = 0
        self._outcome: Recording | None = None
        self._partial = path
        self._file: RecordingFile | None = None
        self._container: OutputContainer | None = None
        self._video: VideoStream | None = None
        self._audio: AudioStream | None = None
        self._next_index = 0
        self._next_sample = 0
        self._format = SinkFormat(0, Fraction(25))
        self._problem = ""

    @property
    def recording(self) -> Recording | None:
        """What came of it; None when nothing was written, or nothing yet."""
        if self._container is not None and self._holds_something:
            return Recording(
                path=str(self._partial), seconds=playable_s(self._partial), problem="it could not be finished"
            )
        return self._outcome

    def open(self, media_format: SinkFormat) -> None:
        """Create a file beside `path`.

        Raises:
            SinkUnavailableError: the folder does not exist or cannot be written to, or an encoder is missing.
        """
        if media_format.resolution_px % 2:
            raise SinkUnavailableError(f"{self.path}: H.264 needs an even size, got {media_format.resolution_px} px")
        try:
            check_output_file(self.path, needs_seek=True)
            self._partial = self.path if is_special(self.path) else new_partial(self.path)
            self._file = RecordingFile(self._partial)
            self._container = av.open(self._file, "w", format="mp4", container_options=CONTAINER_OPTIONS)
            self._video = self._container.add_stream("libx264", rate=media_format.frame_rate, options=VIDEO_OPTIONS)
            self._audio = self._container.add_stream("aac", rate=media_format.sample_rate_hz, layout="mono")
        except OutputPathError as error:
            raise SinkUnavailableError(str(error)) from error
        except _WRITE_ERRORS as error:
            if self._file is not None:
                self._file.close()
                self._remove()
            raise SinkUnavailableError(
                f"{self.path} cannot be written ({_reason(error)}): choose a folder that exists and is writable"
            ) from error
        self._video.width = self._video.height = media_format.resolution_px
        self._video.pix_fmt = "yuv420p"
        self._video.codec_context.time_base = 1 / media_format.frame_rate
        self._video.thread_count = 1
        self._audio.bit_rate = AUDIO_BITRATE_BPS
        self._format = media_format

    def write_audio(self, start_samples: int, pcm: NDArray[np.int16]) -> None:
        """A hole before `start_samples` (sound that a full queue dropped) becomes silence, so that time stays right."""
        if start_samples > self._next_sample:
            pcm = np.concatenate([np.zeros(start_samples - self._next_sample, dtype=np.int16), pcm])
        elif start_samples < self._next_sample:
            pcm = pcm[self._next_sample - start_samples :]
        if not pcm.shape[0]:
            return
        _, audio = self._streams()
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm)[None, :], format="s16", layout="mono")
        frame.sample_rate = self._format.sample_rate_hz
        frame.pts = self._next_sample
        frame.time_base = Fraction(1, self._format.sample_rate_hz)
        self._next_sample += pcm.shape[0]
        self._write(audio, frame)

    def write_frame(self, index: int, samples: int, image: NDArray[np.uint8]) -> None:
        del samples  # the index says it exactly
        if index < self._next_index:
            return
        video, _ = self._streams()
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame.pts = index
        frame.time_base = video.codec_context.time_base
        self._next_index = index + 1
        self.frames_written += 1
        self._write(video, frame)

    def close(self) -> None:
        """Write what the encoders hold and the index, and put the file in its place; nothing written leaves nothing.

        Raises:
            SinkBrokenError: it could not be finished, and no write has said so before. `recording` says what there is.
        """
        if self._container is None:
            return
        was_broken = bool(self._problem)
        with suppress(SinkBrokenError):
            if self.frames_written:
                self._write(self._streams()[0], None)
            if self._next_sample:
                self._write(self._streams()[1], None)
        self._end_file()
        self._outcome = self._settle()
        if self._problem and not was_broken:
            raise SinkBrokenError(self._outcome.describe() if self._outcome is not None else self._problem)

    def discard(self) -> None:
        """End without a recording: what was written is removed."""
        if self._container is not None:
            self._end_file()
            self._remove()

    def _remove(self) -> None:
        if not is_special(self._partial):
            self._partial.unlink(missing_ok=True)

    def _end_file(self) -> None:
        """Write the index and close the file."""
        container, self._container = self._container, None
        assert container is not None
        assert self._file is not None
        try:
            container.close()
        except _WRITE_ERRORS as error:
            self._problem = self._problem or _reason(error)
        self._file.close()
        self._problem = self._problem or self._file.problem

    @property
    def _holds_something(self) -> bool:
        return bool(self.frames_written or self._next_sample)

    def _settle(self) -> Recording | None:
        """Give the file its name, or leave it where it does no harm; what came of it."""
        if is_special(self._partial):
            return Recording(path=str(self.path), seconds=self._written_s, problem=self._problem)
        if not self._holds_something:
            self._partial.unlink(missing_ok=True)
            return None
        if not self._problem and announced_s(self._partial) < self._written_s - END_TOLERANCE_S:
            self._problem = "its end could not be written"
        if not self._problem:
            try:
                put_in_place(self._partial, self.path)
                return Recording(path=str(self.path), seconds=self._written_s)
            except OSError as error:
                self._problem = _reason(error)
        if not self._partial.parent.is_dir():
            self._problem = f"its folder {self._partial.parent} is gone"
        seconds = playable_s(self._partial)
        if not seconds:
            self._partial.unlink(missing_ok=True)
            return Recording(path=str(self.path), seconds=0.0, problem=self._problem)
        if resolved(self.path).exists():
            return Recording(path=str(self._partial), seconds=seconds, problem=self._problem)
        self._partial.replace(resolved(self.path))
        return Recording(path=str(self.path), seconds=seconds, problem=self._problem)

    @property
    def _written_s(self) -> float:
        """Length of what was handed in."""
        return max(self._next_index / float(self._format.frame_rate), self._next_sample / self._format.sample_rate_hz)

    def _write(self, stream: VideoStream | AudioStream, frame: av.VideoFrame | av.AudioFrame | None) -> None:
        """Encode and mux; None writes what the encoder still holds."""
        assert self._container is not None
        assert self._file is not None
        try:
            self._container.mux(stream.encode(frame))  # type: ignore[arg-type]
            self._problem = self._problem or self._file.problem
        except _WRITE_ERRORS as error:
            self._problem = self._problem or _reason(error)
        if self._problem:
            raise SinkBrokenError(f"{self.path}: recording ended at {self._written_s:.1f} s: {self._problem}")

    def _streams(self) -> tuple[VideoStream, AudioStream]:
        if self._container is None or self._video is None or self._audio is None:
            raise SinkUnavailableError(f"{self.path}: the file is closed")
        return self._video, self._audio


def _reason(error: Exception) -> str:
    """What the system says, without number and path."""
    return str(getattr(error, "strerror", None) or error)
