"""The MP4: exact clocks, holes, a finished file whatever happens."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from receiver.errors import SinkUnavailableError
from receiver.sinks.mp4 import Mp4Sink
from receiver.sinks.sink import SinkFormat

FORMAT = SinkFormat(64, Fraction(25))
ROOT = Path(__file__).resolve().parents[3]


def picture(level: int) -> np.ndarray:
    return np.full((64, 64, 3), level, dtype=np.uint8)


def read(path: Path) -> tuple[list[float], list[float], np.ndarray]:
    """Frame times, their mean levels, and the sound as float."""
    with av.open(str(path)) as container:
        frames = [
            (float(f.pts * f.time_base), float(f.to_ndarray(format="rgb24").mean())) for f in container.decode(video=0)
        ]
    with av.open(str(path)) as container:
        sound = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    return [t for t, _ in frames], [level for _, level in frames], np.concatenate(sound)


def write_clicks(sink: Mp4Sink, seconds: int, chunk: int = 2_880) -> None:
    """A flash and a click at every whole second."""
    sink.open(FORMAT)
    pcm = np.zeros(seconds * 48_000, dtype=np.int16)
    for second in range(seconds):
        at = second * 48_000
        pcm[at : at + 480] = 20_000 * np.sin(2 * np.pi * 1_000 * np.arange(480) / 48_000)
    for start in range(0, pcm.shape[0], chunk):
        sink.write_audio(start, pcm[start : start + chunk])
    for index in range(seconds * 25):
        sink.write_frame(index, index * 1_920, picture(220 if index % 25 == 0 else 30))


def test_flash_and_click_stay_together(tmp_path: Path) -> None:
    sink = Mp4Sink(tmp_path / "call.mp4")
    write_clicks(sink, 4)
    sink.close()
    times, levels, sound = read(tmp_path / "call.mp4")
    assert times == pytest.approx([index / 25 for index in range(100)])
    flashes = [time for time, level in zip(times, levels, strict=True) if level > 120]
    loud = np.flatnonzero(np.abs(sound) > 0.2) / 48_000
    for second, flash in enumerate(flashes):
        click = loud[(loud > second - 0.5) & (loud < second + 0.5)].min()
        assert flash == pytest.approx(second)
        assert click == pytest.approx(second, abs=0.002)
    assert len(flashes) == 4
    assert sound.shape[0] / 48_000 == pytest.approx(4.0, abs=0.03)


def test_holes_keep_their_time(tmp_path: Path) -> None:
    sink = Mp4Sink(tmp_path / "call.mp4")
    sink.open(FORMAT)
    sink.write_audio(0, np.zeros(960, dtype=np.int16))
    sink.write_audio(48_000, np.full(4_800, 8_000, dtype=np.int16))  # almost a second went missing
    sink.write_audio(48_000, np.zeros(4_800, dtype=np.int16))  # and this one comes twice
    for index in (0, 1, 20, 19, 26):
        sink.write_frame(index, index * 1_920, picture(100))
    sink.close()
    times, _, sound = read(tmp_path / "call.mp4")
    assert times == pytest.approx([0.0, 0.04, 0.8, 1.04])
    assert np.flatnonzero(np.abs(sound) > 0.1)[0] / 48_000 == pytest.approx(1.0, abs=0.01)


def test_unused_file_is_removed_and_close_may_be_repeated(tmp_path: Path) -> None:
    sink = Mp4Sink(tmp_path / "call.mp4")
    sink.open(FORMAT)
    sink.close()
    sink.close()
    assert not (tmp_path / "call.mp4").exists()


@pytest.mark.parametrize("has_sound", [True, False])
def test_file_with_one_kind_of_media_is_valid(tmp_path: Path, has_sound: bool) -> None:
    sink = Mp4Sink(tmp_path / "call.mp4")
    sink.open(FORMAT)
    if has_sound:
        sink.write_audio(0, np.zeros(48_000, dtype=np.int16))
    else:
        sink.write_frame(0, 0, picture(100))
    sink.close()
    with av.open(str(tmp_path / "call.mp4")) as container:
        assert sum(1 for _ in container.decode()) > 0


def test_missing_folder_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SinkUnavailableError, match="choose a folder that exists"):
        Mp4Sink(tmp_path / "nowhere" / "call.mp4").open(FORMAT)


def test_odd_size_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SinkUnavailableError, match="even size"):
        Mp4Sink(tmp_path / "call.mp4").open(SinkFormat(63, Fraction(25)))


def test_killed_process_leaves_a_file_that_plays(tmp_path: Path) -> None:
    """No close, no index: what was written as fragments is there all the same."""
    program = """
import os, sys
from fractions import Fraction
from pathlib import Path
import numpy as np
from receiver.sinks.mp4 import Mp4Sink
from receiver.sinks.sink import SinkFormat
sink = Mp4Sink(Path(sys.argv[1]))
sink.open(SinkFormat(64, Fraction(25)))
for index in range(1000):
    sink.write_audio(index * 1920, np.zeros(1920, dtype=np.int16))
    sink.write_frame(index, index * 1920, np.full((64, 64, 3), index % 200, dtype=np.uint8))
os._exit(9)
"""
    path = tmp_path / "call.mp4"
    subprocess.run([sys.executable, "-c", program, str(path)], cwd=ROOT, check=False, timeout=60)
    assert not path.exists()
    with av.open(str(tmp_path / "call.partial.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) >= 250
