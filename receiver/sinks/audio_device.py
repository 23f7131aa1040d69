"""Sound to a loudspeaker through FFmpeg's output devices, as far as the PyAV wheel of this machine has them.

A device wants to be a little ahead: it is given a cushion of silence first, and then every piece of sound as much
earlier than its time, so that what is heard still belongs to what is seen. PyAV does not show the device's own clock:
a card that is 50 ppm off drifts by 180 ms in an hour, which a reopened device undoes.
"""

from __future__ import annotations

from fractions import Fraction

import av
import av.error
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from numpy.typing import NDArray

from receiver.errors import SinkUnavailableError
from receiver.sinks.sink import SinkFormat
from talkface_core.sound.alsa import use_system_alsa

DEVICE_FORMATS = ("pulse", "alsa", "audiotoolbox", "oss")
"""In order of preference; a wheel has some of them."""
DEFAULT_DEVICES = {"pulse": "default", "alsa": "default", "audiotoolbox": "default", "oss": "/dev/dsp"}


LEAD_US = 80_000
"""The cushion: what a desktop's sound server and a late thread need together."""


class AudioDeviceSink:
    """Plays the sound of the call; frames are not its business. Its sound comes `LEAD_US` early."""

    def __init__(self, device: str = "default") -> None:
        """`device`: name within the first output format that works ("default", "hw:0", ...)."""
        self._device = device
        self._container: OutputContainer | None = None
        self._stream: AudioStream | None = None
        self._sample_rate_hz = 48_000
        self._is_first = True
        self.num_written = 0

    def open(self, media_format: SinkFormat) -> None:
        """Open the device.

        Raises:
            SinkUnavailableError: this build of PyAV has no output device, or none can be opened.
        """
        self._sample_rate_hz = media_format.sample_rate_hz
        use_system_alsa()
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
        """Blocks while the device's buffer is full."""
        del start_samples  # the device plays what it gets, in order
        if self._container is None or self._stream is None:
            return
        if self._is_first:
            self._is_first = False
            pcm = np.concatenate([np.zeros(self._sample_rate_hz * LEAD_US // 1_000_000, dtype=np.int16), pcm])
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm)[None, :], format="s16", layout="mono")
        frame.sample_rate = self._sample_rate_hz
        frame.pts = self.num_written
        frame.time_base = Fraction(1, self._sample_rate_hz)
        self.num_written += pcm.shape[0]
        self._container.mux(self._stream.encode(frame))

    def write_frame(self, index: int, samples: int, image: NDArray[np.uint8]) -> None:
        del index, samples, image

    def close(self) -> None:
        container, self._container = self._container, None
        if container is not None:
            container.close()
