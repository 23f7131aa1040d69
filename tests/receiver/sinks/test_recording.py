"""A recording takes its place when it is complete; what was there stays until then, and what broke off says how much
it holds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from receiver.errors import SinkBrokenError, SinkUnavailableError
from receiver.sinks.mp4 import Mp4Sink
from receiver.sinks.recording import Recording, new_partial, playable_s
from receiver.sinks.sink import SinkFormat, SinkThread

FORMAT = SinkFormat(64, Fraction(25))
ROOT = Path(__file__).resolve().parents[3]
OLD = b"what the user has from before"


def write(sink: Mp4Sink, seconds: int, start_s: int = 0) -> None:
    """Noise, which takes room."""
    random = np.random.default_rng(0)
    for index in range(start_s * 25, (start_s + seconds) * 25):
        sink.write_audio(index * 1_920, random.integers(-5_000, 5_000, 1_920, dtype=np.int16))
        sink.write_frame(index, index * 1_920, random.integers(0, 255, (64, 64, 3), dtype=np.uint8))


def seconds_in(path: Path) -> float:
    with av.open(str(path)) as container:
        return float([frame.pts * frame.time_base for frame in container.decode(video=0)][-1])


@contextmanager
def full_after(num_bytes: int) -> Iterator[None]:
    """Writing further than this into a file fails, as on a full disk."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "keep.mp4").write_bytes(OLD)
    return tmp_path / "keep.mp4"


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_an_older_file_stays_until_the_new_one_is_complete(path: Path) -> None:
    sink = Mp4Sink(path)
    sink.open(FORMAT)
    write(sink, 3)
    assert path.read_bytes() == OLD
    assert sink.recording is not None
    assert sink.recording.problem == "it could not be finished", "as when the disk hangs for ever"
    sink.close()
    assert seconds_in(path) == pytest.approx(2.96)
    assert names(path.parent) == ["keep.mp4"]
    assert sink.recording == Recording(path=str(path), seconds=3.0)
    assert sink.recording.describe() == f"{path} holds 3.0 s"


def test_nothing_recorded_leaves_the_older_file(path: Path) -> None:
    sink = Mp4Sink(path)
    sink.open(FORMAT)
    sink.close()
    assert path.read_bytes() == OLD
    assert names(path.parent) == ["keep.mp4"]
    assert sink.recording is None


def test_what_is_discarded_is_gone(path: Path) -> None:
    sink = Mp4Sink(path)
    sink.open(FORMAT)
    write(sink, 1)
    sink.discard()
    sink.discard()
    assert path.read_bytes() == OLD
    assert names(path.parent) == ["keep.mp4"]


def test_the_file_behind_a_link_is_replaced(path: Path) -> None:
    (path.parent / "elsewhere").mkdir()
    link = path.parent / "elsewhere" / "link.mp4"
    link.symlink_to(path)
    sink = Mp4Sink(link)
    sink.open(FORMAT)
    write(sink, 1)
    sink.close()
    assert link.is_symlink()
    assert seconds_in(path) == pytest.approx(0.96)


def test_an_unfinished_recording_of_before_is_left_alone(path: Path) -> None:
    first = new_partial(path)
    first.write_bytes(b"all that is left of another call")
    assert new_partial(path).name == "keep.partial-2.mp4"
    assert first.read_bytes() == b"all that is left of another call"
    assert new_partial(path.with_name("é" * 120 + ".mp4")).is_file()


@pytest.mark.parametrize("has_older", [True, False])
def test_a_full_disk_leaves_what_was_written_and_says_how_much(path: Path, has_older: bool) -> None:
    if not has_older:
        path.unlink()
    said: list[str] = []
    sink = Mp4Sink(path)
    thread = SinkThread(sink, on_failure=said.append)
    with full_after(300_000):
        thread.open(FORMAT)
        random = np.random.default_rng(0)
        for index in range(250):
            thread.write_audio(index * 1_920, random.integers(-5_000, 5_000, 1_920, dtype=np.int16))
            thread.write_frame(index, index * 1_920, random.integers(0, 255, (64, 64, 3), dtype=np.uint8))
        thread.close()
    left = path.with_name("keep.partial.mp4") if has_older else path
    assert (path.read_bytes() == OLD) is has_older
    recording = sink.recording
    assert recording is not None
    assert recording.path == str(left)
    assert 1.0 < recording.seconds < 9.0
    assert recording.seconds == pytest.approx(playable_s(left))
    assert recording.describe().startswith(f"{left} holds only the first {recording.seconds:.1f} s of the call: File ")
    assert len(said) == 1
    assert said[0].startswith(f"{path}: recording ended at ")
    assert said[0].endswith("File too large")


def test_a_disk_that_is_full_at_the_very_end(tmp_path: Path) -> None:
    """The index is what does not fit."""
    whole = Mp4Sink(tmp_path / "whole.mp4")
    whole.open(FORMAT)
    write(whole, 4)
    whole.close()
    size = (tmp_path / "whole.mp4").stat().st_size
    sink = Mp4Sink(tmp_path / "cut.mp4")
    with full_after(size - 500):
        sink.open(FORMAT)
        write(sink, 4)
        with pytest.raises(SinkBrokenError, match="holds only the first"):
            sink.close()
    assert sink.recording is not None
    assert sink.recording.problem
    assert sink.recording.seconds == pytest.approx(playable_s(tmp_path / "cut.mp4"))


def test_a_disk_with_room_for_nothing(path: Path) -> None:
    sink = Mp4Sink(path)
    with full_after(0):
        sink.open(FORMAT)
        with pytest.raises(SinkBrokenError):
            write(sink, 10)
        sink.close()
    assert sink.recording is not None
    assert sink.recording.describe() == f"{path}: nothing was recorded (File too large)"
    assert path.read_bytes() == OLD
    assert names(path.parent) == ["keep.mp4"]


def test_a_folder_that_vanished_is_said(path: Path) -> None:
    folder = path.parent / "stick"
    folder.mkdir()
    sink = Mp4Sink(folder / "call.mp4")
    sink.open(FORMAT)
    write(sink, 1)
    shutil.rmtree(folder)
    with pytest.raises(SinkBrokenError, match=f"nothing was recorded .its folder {folder} is gone"):
        sink.close()


def test_a_folder_that_is_not_there(path: Path) -> None:
    with pytest.raises(SinkUnavailableError, match="No such file or directory"):
        Mp4Sink(path.parent / "nowhere" / "call.mp4").open(FORMAT)


def test_to_nowhere_is_written_as_it_is(tmp_path: Path) -> None:
    sink = Mp4Sink(Path(os.devnull))
    sink.open(FORMAT)
    write(sink, 1)
    sink.close()
    assert Path(os.devnull).is_char_device()
    assert sink.recording == Recording(path=os.devnull, seconds=1.0)


PROGRAM = """
import sys
import numpy as np
from fractions import Fraction
from pathlib import Path
from receiver.errors import SinkBrokenError
from receiver.sinks.mp4 import Mp4Sink
from receiver.sinks.sink import SinkFormat
sink = Mp4Sink(Path(sys.argv[1]) / "call.mp4")
sink.open(SinkFormat(64, Fraction(25)))
random = np.random.default_rng(0)
try:
    for index in range(2000):
        sink.write_audio(index * 1920, random.integers(-5000, 5000, 1920, dtype=np.int16))
        sink.write_frame(index, index * 1920, random.integers(0, 255, (64, 64, 3), dtype=np.uint8))
except SinkBrokenError as error:
    print(error)
sink.close()
print(sink.recording.describe())
"""


def test_a_real_full_file_system(tmp_path: Path) -> None:
    """A file system of 300 kB of its own, which ends with the process."""
    script = 'mount -t tmpfs -o size=300k none "$1" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "--mount", "--map-root-user", "sh", "-c", script, "sh"]
    command += [str(tmp_path), sys.executable, PROGRAM]
    try:
        result = subprocess.run(
            [*command, sys.executable, PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
        )
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if "unshare" in result.stderr or "mount" in result.stderr:
        pytest.skip(f"no file system of one's own here: {result.stderr.strip()}")
    assert result.returncode == 0, result.stderr
    first, second = result.stdout.splitlines()
    assert "recording ended at" in first
    assert "holds only the first" in second
    assert second.endswith("No space left on device")
