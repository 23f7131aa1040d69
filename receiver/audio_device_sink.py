"""Sound to a loudspeaker through FFmpeg's output devices, as far as the PyAV wheel of this machine has them.

Writing blocks while the device's buffer is full, which makes the device's clock visible: `on_played` hands it to the
media clock.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import av
import av.error
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from numpy.typing import NDArray

from receiver.errors import SinkUnavailableError
from receiver.sinks import SinkFormat

DEVICE_FORMATS = ("pulse", "alsa", "audiotoolbox", "oss")
"""In order of preference; a wheel has some of them."""
DEFAULT_DEVICES = {"pulse": "default", "alsa": "default", "audiotoolbox": "default", "oss": "/dev/dsp"}


class AudioDeviceSink:
    """Plays the sound of the call; frames are not its business."""

    def __init__(self, device: str = "default", on_played: Callable[[int], None] | None = None) -> None:
        """Args:
        device: name within the first output format that works ("default", "hw:0", ...).
        on_played: called on the sink's thread with the number of samples that the device has taken.
        """
        self._device = device
        self.on_played = on_played
        """May be set before the sink is opened."""
        self._container: OutputContainer | None = None
        self._stream: AudioStream | None = None
        self._sample_rate_hz = 48_000

    def open(self, media_format: SinkFormat) -> None:
        """Open the device.

        Raises:
            SinkUnavailableError: this build of PyAV has no output device, or none can be opened.
        """
        self._sample_rate_hz = media_format.sample_rate_hz
        reasons = []
        for name in DEVICE_FORMATS:
            if name not in av.formats_available:
                continue
            device = DEFAULT_DEVICES[name] if self._device == "default" else self._device
            try:
                container = av.open(device, "w", format=name)
                self._stream = container.add_stream("pcm_s16le", rate=self._sample_rate_hz, layout="mono")
                container.start_encoding()
            except (OSError, ValueError, av.error.FFmpegError) as error:
                reasons.append(f"{name}: {error}")
                continue
            self._container = container
            return
        raise SinkUnavailableError(
            f"no sound device can be opened ({'; '.join(reasons) or 'this build of PyAV has none'}): "
            "write a file with --output instead"
        )

    def write_audio(self, start_samples: int, pcm: NDArray[np.int16]) -> None:
        if self._container is None or self._stream is None:
            return
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm)[None, :], format="s16", layout="mono")
        frame.sample_rate = self._sample_rate_hz
        frame.pts = start_samples
        frame.time_base = Fraction(1, self._sample_rate_hz)
        self._container.mux(self._stream.encode(frame))
        if self.on_played is not None:
            self.on_played(start_samples + pcm.shape[0])

    def write_frame(self, index: int, samples: int, image: NDArray[np.uint8]) -> None:
        del index, samples, image

    def close(self) -> None:
        container, self._container = self._container, None
        if container is not None:
            container.close()
