"""What a recording became: where it is, how much it holds, and what kept it from holding all.

While a call runs, its recording grows as NAME.partial.mp4 beside the file that will be; what is there from before stays
as it is until the new one is complete. One that broke off takes the name only when nothing has it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import av
import av.error

from talkface_core.whole_file import new_file, resolved

MAX_STEM_CHARACTERS = 50
MAX_NAMES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One recording after its end."""

    path: str
    """Where it is; where it should have been when it holds nothing."""
    seconds: float
    """How much of the call can be played."""
    problem: str = ""
    """Why that is not all of it; empty when it is."""

    def describe(self) -> str:
        """One sentence about it."""
        if not self.problem:
            return f"{self.path} holds {self.seconds:.1f} s"
        if not self.seconds:
            return f"{self.path}: nothing was recorded ({self.problem})"
        return f"{self.path} holds only the first {self.seconds:.1f} s of the call: {self.problem}"


class RecordingFile:
    """What FFmpeg writes a recording to. From the first error on, it takes everything and keeps nothing.

    FFmpeg crashes when it goes on after a header that could not be written, and a disk that is full when the index
    comes would leave a file that announces an index which is not there. So it hears of no error; who holds this asks.
    """

    def __init__(self, path: Path) -> None:
        """Raises OSError: it cannot be opened."""
        self.problem = ""
        """The first error."""
        self._descriptor = os.open(path, os.O_WRONLY)
        self._position = 0

    def write(self, data: bytes) -> int:
        """All of it, at the present position."""
        left = memoryview(data)
        while left and not self.problem:
            try:
                written = os.pwrite(self._descriptor, left, self._position + len(data) - len(left))
            except OSError as error:
                self.problem = error.strerror or str(error)
            else:
                left = left[written:]
        self._position += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Another position for the next write."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position}.get(whence)
        self._position = offset + (os.fstat(self._descriptor).st_size if start is None else start)
        return self._position

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        """Also more than once."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        try:
            os.close(descriptor)
        except OSError as error:  # a network disk tells only now
            self.problem = self.problem or error.strerror or str(error)


def new_partial(path: Path) -> Path:
    """An empty file beside the one that a recording will be, under a name that nobody has.

    Raises:
        OSError: the folder is gone or not writable.
    """
    target = resolved(path)
    stem = target.stem[:MAX_STEM_CHARACTERS]
    for number in range(1, MAX_NAMES):
        again = "" if number == 1 else f"-{number}"
        try:
            return new_file(target.with_name(f"{stem}.partial{again}{target.suffix[:MAX_STEM_CHARACTERS]}"))
        except FileExistsError:
            continue
    raise FileExistsError(None, f"{MAX_NAMES} unfinished recordings lie beside it", str(path))


def announced_s(path: Path) -> float:
    """Seconds that a file says it holds; 0 when it cannot be read."""
    try:
        with av.open(str(path)) as container:
            return (container.duration or 0) / 1e6
    except (OSError, ValueError, av.error.FFmpegError):
        return 0.0


def playable_s(path: Path) -> float:
    """Seconds of a file that a player gets to see; 0 when it cannot be read at all."""
    end_s = 0.0
    try:
        with av.open(str(path)) as container:
            for packet in container.demux():
                if packet.pts is not None and packet.time_base is not None:
                    end_s = max(end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    except (OSError, ValueError, av.error.FFmpegError):
        pass  # what came before the damage counts
    return end_s
