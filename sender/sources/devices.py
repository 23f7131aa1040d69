"""Microphone and camera through FFmpeg's capture devices: ALSA, V4L2; AVFoundation on macOS, dshow on Windows.

A device name may carry the capture format in front ("alsa:hw:1", "v4l2:/dev/video2"); "lavfi:" gives FFmpeg's signal
generators, which need no hardware ("lavfi:sine=frequency=440", "lavfi:testsrc=rate=30").
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Literal

import av
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from sender.errors import DeviceUnavailableError
from sender.sources.file_audio import mix_to_mono
from sender.sources.file_frames import upright_rgb
from sender.sources.interfaces import SAMPLE_RATE_HZ, VideoFrame
from talkface_core.sound.alsa import use_system_alsa
from talkface_core.sound.resample import StreamingResampler

_AUDIO_FORMATS = {"linux": ("pulse", "alsa"), "darwin": ("avfoundation",), "win32": ("dshow",)}
_VIDEO_FORMATS = {"linux": ("video4linux2,v4l2",), "darwin": ("avfoundation",), "win32": ("dshow",)}
_SHORT_NAMES = {"v4l2": "video4linux2,v4l2"}
_DEFAULT_CAMERA = {"linux": "/dev/video0", "darwin": "0", "win32": "video=Integrated Camera"}
_DEFAULT_MICROPHONE = {"linux": "default", "darwin": ":0", "win32": "audio=Microphone"}
_STALL_S = 5.0
"""A device that gives nothing for this long has gone away."""
_MAX_BUFFERED_SAMPLES = SAMPLE_RATE_HZ // 2
_MAX_BUFFERED_FRAMES = 2


def open_device(name: str, kind: str) -> InputContainer:
    """Open a capture device.

    Args:
        name: "default", a device name, or "format:device".
        kind: "microphone" or "camera".

    Raises:
        DeviceUnavailableError: it does not open; the message gives the reasons and the fix.
    """
    use_system_alsa()
    is_camera = kind == "camera"
    formats = (_VIDEO_FORMATS if is_camera else _AUDIO_FORMATS).get(sys.platform, ())
    device = name
    prefix, separator, rest = name.partition(":")
    if separator and _SHORT_NAMES.get(prefix, prefix) in av.formats_available | {"pulse", "alsa"}:
        formats, device = (_SHORT_NAMES.get(prefix, prefix),), rest
    if device == "default":
        device = (_DEFAULT_CAMERA if is_camera else _DEFAULT_MICROPHONE).get(sys.platform, device)
    reasons = []
    for capture_format in formats:
        if capture_format not in av.formats_available:
            reasons.append(f"{capture_format}: not in this FFmpeg")
            continue
        try:
            container = av.open(device, format=capture_format)
        except (av.FFmpegError, OSError, ValueError) as error:
            reasons.append(f"{capture_format}: {getattr(error, 'strerror', None) or error}")
            continue
        if container.streams.video if is_camera else container.streams.audio:
            return container
        container.close()
        reasons.append(f"{capture_format}: gives no {'picture' if is_camera else 'sound'}")
    raise DeviceUnavailableError(
        f"{kind} {name!r} cannot be opened ({'; '.join(reasons) or 'no capture format for this system'}): "
        f"connect it, close other programs that use it, or send a file with --input"
    )


class _DeviceThread:
    """Reads a device in a thread of its own into a bounded store that drops the oldest."""

    def __init__(
        self, container: InputContainer, stream_kind: Literal["audio", "video"], take: Callable[[Any], None]
    ) -> None:
        self.condition = threading.Condition()
        self.failure: str | None = None
        self._is_closed = False
        self._container = container
        self._stream = container.streams.best(stream_kind)
        self._take = take
        self._thread = threading.Thread(target=self._run, name=f"{stream_kind} device", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        reason = "it ended"
        try:
            for frame in self._container.decode(self._stream):
                with self.condition:
                    if self._is_closed:
                        break
                    self._take(frame)
                    self.condition.notify_all()
        except (av.FFmpegError, OSError, ValueError) as error:
            reason = str(error)
        with self.condition:
            self.failure = reason
            self.condition.notify_all()

    def wait_for(self, is_ready: Callable[[], bool], what: str) -> None:
        """Wait until there is enough, holding `condition`.

        Raises:
            DeviceUnavailableError: the device went away or gives nothing any more.
        """
        ready = self.condition.wait_for(lambda: is_ready() or self.failure is not None or self._is_closed, _STALL_S)
        if is_ready():
            return
        if self._is_closed or not ready or self.failure is not None:
            reason = "closed" if self._is_closed else self.failure or f"nothing came for {_STALL_S:g} s"
            raise DeviceUnavailableError(f"{what} has gone away ({reason}): check its connection and call again")

    def close(self) -> None:
        with self.condition:
            self._is_closed = True
            self.condition.notify_all()
        self._thread.join(timeout=2.0)
        if not self._thread.is_alive():  # a thread that hangs in the driver keeps its container
            self._container.close()


class Microphone:
    """Live sound; the device's clock is the master of the call."""

    is_live = True

    def __init__(self, name: str = "default") -> None:
        self._name = name
        self._device: _DeviceThread | None = None
        self._resampler: StreamingResampler | None = None
        self._chunks: deque[NDArray[np.float32]] = deque()
        self._num_buffered = 0
        self._is_reading = False
        self.num_dropped_samples = 0

    def open(self) -> None:
        """Start capturing.

        Raises:
            DeviceUnavailableError: it does not open.
        """
        container = open_device(self._name, "microphone")
        self._device = _DeviceThread(container, "audio", self._take)

    def read(self, num_samples: int) -> NDArray[np.int16] | None:
        """Wait for the next [num_samples] int16.

        Raises:
            DeviceUnavailableError: the device went away.
        """
        if self._device is None:
            return None
        with self._device.condition:
            if not self._is_reading:  # what came before anyone listened would be delay for the whole call
                self._is_reading = True
                self._chunks.clear()
                self._num_buffered = 0
            self._device.wait_for(lambda: self._num_buffered >= num_samples, f"microphone {self._name!r}")
            samples = np.concatenate(self._chunks)
            rest = samples[num_samples:]
            self._chunks = deque([rest])
            self._num_buffered = rest.shape[0]
        return np.round(np.clip(samples[:num_samples], -1.0, 1.0) * 32767.0).astype(np.int16)

    def close(self) -> None:
        """Stop capturing; wakes `read`."""
        if self._device is not None:
            self._device.close()

    def _take(self, frame: av.AudioFrame) -> None:
        if self._resampler is None or self._resampler.input_rate_hz != frame.sample_rate:
            self._resampler = StreamingResampler(frame.sample_rate, SAMPLE_RATE_HZ)
        chunk = self._resampler.process(mix_to_mono(frame))
        self._chunks.append(chunk)
        self._num_buffered += chunk.shape[0]
        while self._num_buffered > _MAX_BUFFERED_SAMPLES and len(self._chunks) > 1:
            dropped = self._chunks.popleft().shape[0]
            self._num_buffered -= dropped
            self.num_dropped_samples += dropped


class Camera:
    """Live pictures, each stamped with the media time at which it came; the oldest is dropped when nobody reads."""

    is_live = True

    def __init__(self, media_ticks: Callable[[], int], name: str = "default") -> None:
        """`media_ticks` tells the media time now; it is called from the capture thread."""
        self._media_ticks = media_ticks
        self._name = name
        self._device: _DeviceThread | None = None
        self._frames: deque[tuple[int, av.VideoFrame]] = deque(maxlen=_MAX_BUFFERED_FRAMES)
        self.num_dropped_frames = 0

    def open(self) -> None:
        """Start filming.

        Raises:
            DeviceUnavailableError: it does not open.
        """
        container = open_device(self._name, "camera")
        self._device = _DeviceThread(container, "video", self._take)

    def read_frame(self) -> VideoFrame | None:
        """Wait for the next picture.

        Raises:
            DeviceUnavailableError: the camera went away.
        """
        picked = self._next()
        return None if picked is None else VideoFrame(picked[0], upright_rgb(picked[1]))

    def skip_frame(self) -> int | None:
        """Pass over the next picture; its ticks."""
        picked = self._next()
        return None if picked is None else picked[0]

    def close(self) -> None:
        """Stop filming; wakes `read_frame`."""
        if self._device is not None:
            self._device.close()

    def _next(self) -> tuple[int, av.VideoFrame] | None:
        if self._device is None:
            return None
        with self._device.condition:
            self._device.wait_for(lambda: bool(self._frames), f"camera {self._name!r}")
            return self._frames.popleft()

    def _take(self, frame: av.VideoFrame) -> None:
        if len(self._frames) == _MAX_BUFFERED_FRAMES:
            self.num_dropped_frames += 1
        self._frames.append((self._media_ticks(), frame))
