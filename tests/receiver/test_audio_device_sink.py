"""The loudspeaker, or a clear error: machines that run tests mostly have none."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from receiver.audio_device_sink import AudioDeviceSink
from receiver.errors import SinkUnavailableError
from receiver.sinks import SinkFormat


def test_missing_device_is_a_clear_error() -> None:
    with pytest.raises(SinkUnavailableError, match="no sound device can be opened"):
        AudioDeviceSink("no-such-device").open(SinkFormat(64, Fraction(25)))


def test_closed_device_takes_nothing() -> None:
    sink = AudioDeviceSink()
    sink.write_audio(0, np.zeros(960, dtype=np.int16))
    sink.close()
