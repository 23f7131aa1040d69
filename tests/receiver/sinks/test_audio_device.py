"""The loudspeaker, or a clear error: machines that run tests mostly have none."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from receiver.errors import SinkUnavailableError
from receiver.sinks.audio_device import LEAD_US, AudioDeviceSink
from receiver.sinks.sink import SinkFormat


def test_missing_device_is_a_clear_error() -> None:
    with pytest.raises(SinkUnavailableError, match="no sound device can be opened"):
        AudioDeviceSink("no-such-device").open(SinkFormat(64, Fraction(25)))


@pytest.mark.skipif(not Path("/usr/share/alsa/alsa.conf").exists(), reason="needs ALSA's configuration")
def test_sound_goes_to_a_device_after_a_cushion_of_silence() -> None:
    """ALSA's own null device: everything but the loudspeaker."""
    sink = AudioDeviceSink("null")
    try:
        sink.open(SinkFormat(64, Fraction(25)))
    except SinkUnavailableError as error:
        pytest.skip(str(error))
    for index in range(10):
        sink.write_audio(index * 960, np.zeros(960, dtype=np.int16))
    assert sink.num_written == 9_600 + 48 * LEAD_US // 1_000
    sink.close()


def test_closed_device_takes_nothing() -> None:
    sink = AudioDeviceSink()
    sink.write_audio(0, np.zeros(960, dtype=np.int16))
    sink.close()
