"""The live window, where there is a display; a clear error where there is none."""

from __future__ import annotations

import os
from fractions import Fraction

import numpy as np
import pytest

from receiver.errors import SinkUnavailableError
from receiver.sinks import SinkFormat
from receiver.window_sink import WindowSink


def test_no_display_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(SinkUnavailableError, match="--output instead"):
        WindowSink().open(SinkFormat(64, Fraction(25)))


@pytest.mark.skipif(not os.environ.get("DISPLAY"), reason="needs a display")
def test_frames_are_shown() -> None:
    sink = WindowSink()
    sink.open(SinkFormat(64, Fraction(25)))
    sink.write_frame(0, 0, np.full((64, 64, 3), 200, dtype=np.uint8))
    sink.write_audio(0, np.zeros(960, dtype=np.int16))
    sink.close()
    sink.write_frame(1, 1_920, np.zeros((64, 64, 3), dtype=np.uint8))


def test_closed_window_takes_nothing() -> None:
    sink = WindowSink()
    sink.write_frame(0, 0, np.zeros((64, 64, 3), dtype=np.uint8))
    sink.write_audio(0, np.zeros(960, dtype=np.int16))
    sink.close()
