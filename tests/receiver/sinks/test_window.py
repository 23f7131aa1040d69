"""The live window on a display of its own (Xvfb), in a process of its own: Xlib ends a process whose display goes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from receiver.errors import SinkUnavailableError
from receiver.sinks.sink import SinkFormat

pytest.importorskip("tkinter", reason="Python has no tkinter (Debian: python3-tk)")
from receiver.sinks.window import WindowSink

ROOT = Path(__file__).resolve().parents[3]
PREPARE = """
from fractions import Fraction
import numpy as np
from receiver.sinks.sink import SinkFormat, SinkThread
from receiver.sinks.window import MIN_WINDOW_PX, WindowSink
media_format = SinkFormat(64, Fraction(25))
picture = np.full((64, 64, 3), (200, 100, 50), dtype=np.uint8)
sound = np.zeros(960, dtype=np.int16)
"""


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """A virtual screen without a window manager: the window lies in the corner."""
    program = shutil.which("Xvfb")
    if program is None:
        pytest.skip("Xvfb is not installed (Debian: xvfb)")
    arguments = [program, "-displayfd", "1", "-screen", "0", "800x800x24", "-nolisten", "tcp"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        yield f":{server.stdout.readline().strip()}"
        server.terminate()


def run(program: str, display: str) -> str:
    environment = {**os.environ, "DISPLAY": display}
    result = subprocess.run(
        [sys.executable, "-c", PREPARE + program], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_no_display_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(SinkUnavailableError, match="--output instead"):
        WindowSink().open(SinkFormat(64, Fraction(25)))


def test_frame_is_seen_at_the_size_of_the_window(display: str) -> None:
    program = """
from PIL import ImageGrab
import os
sink = WindowSink()
sink.open(media_format)
for _ in range(5):  # the first ones may come before the window is mapped
    sink.write_frame(0, 0, picture)
    sink.write_audio(0, sound)
screen = ImageGrab.grab(xdisplay=os.environ["DISPLAY"])
print(screen.getpixel((5, 5)), screen.getpixel((MIN_WINDOW_PX - 5, MIN_WINDOW_PX - 5)))
sink.close()
"""
    assert run(program, display) == "(200, 100, 50) (200, 100, 50)"


def test_window_lives_on_the_thread_of_its_sink(display: str) -> None:
    program = """
failures = []
thread = SinkThread(WindowSink(), on_failure=failures.append)
thread.open(media_format)
for index in range(10):
    thread.write_frame(index, 0, picture)
thread.close()
print(failures, thread.counters.dropped_frames)
"""
    assert run(program, display) == "[] 0"


def test_closing_the_window_is_told_and_takes_no_more_frames(display: str) -> None:
    program = """
sink = WindowSink(on_closed=lambda: print("closed"))
sink.open(media_format)
sink._closed_by_user()
sink.write_frame(0, 0, picture)
sink.write_audio(0, sound)
sink.close()
"""
    assert run(program, display) == "closed"


def test_window_that_was_never_opened_takes_nothing() -> None:
    sink = WindowSink()
    sink.write_frame(0, 0, np.zeros((64, 64, 3), dtype=np.uint8))
    sink.write_audio(0, np.zeros(960, dtype=np.int16))
    sink.close()
