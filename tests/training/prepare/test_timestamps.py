"""Files whose timestamps are missing, negative or jump: sound and picture stay within 20 ms, or reading ends there."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from training.prepare.media_read import read_sound, read_ticks

RATE = 44_100
SECONDS = 4
Change = Callable[[int], int | None]


def as_it_is(pts: int) -> int:
    return pts


def write(
    path: Path, container: str, *, b_frames: int = 0, picture: Change = as_it_is, sound: Change = as_it_is
) -> Path:
    """A flash and a click at every whole second, with changed timestamps."""
    with av.open(str(path), "w", format=container) as out:
        video = out.add_stream("mpeg4" if container == "avi" else "libx264", rate=25)
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        video.options = {"bf": str(b_frames), "g": "25"}
        audio = out.add_stream("pcm_s16le" if container != "mpegts" else "mp2", rate=RATE, layout="mono")
        packets = []
        for index in range(SECONDS * 25):
            level = 220 if index % 25 == 0 else 30
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), level, np.uint8), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            packets += [(packet, picture) for packet in video.encode(frame)]
        packets += [(packet, picture) for packet in video.encode(None)]
        pcm = np.zeros(SECONDS * RATE, np.int16)
        for second in range(SECONDS):
            pcm[second * RATE : second * RATE + 441] = 20_000 * np.sin(2 * np.pi * 1_000 * np.arange(441) / RATE)
        for start in range(0, len(pcm) - 1152, 1152):
            block = av.AudioFrame.from_ndarray(pcm[None, start : start + 1152], format="s16", layout="mono")
            block.sample_rate, block.pts, block.time_base = RATE, start, Fraction(1, RATE)
            packets += [(packet, sound) for packet in audio.encode(block)]
        packets += [(packet, sound) for packet in audio.encode(None)]
        packets.sort(key=lambda pair: float((pair[0].dts or 0) * pair[0].time_base))
        for packet, change in packets:
            moved = change(packet.pts)
            if moved is not None:
                packet.dts = packet.dts + moved - packet.pts
            packet.pts = moved
            out.mux(packet)
    return path


def flashes_and_clicks(path: Path, told: list[tuple[float, str]]) -> tuple[list[float], list[float]]:
    """Seconds of both, by what preparing reads."""

    def on_jump(at_s: float, what: str) -> None:
        told.append((at_s, what))

    levels = [tick.frame.mean() for tick in read_ticks(path, on_jump=on_jump)]
    flashes = [i / 25 for i, level in enumerate(levels) if level > 120 and (i == 0 or levels[i - 1] <= 120)]
    sound = read_sound(path, on_jump)
    assert sound is not None
    loud = np.flatnonzero(np.abs(sound) > 3_000) / 16_000
    clicks = [float(t) for i, t in enumerate(loud) if i == 0 or t - loud[i - 1] > 0.3]
    return flashes, clicks


@pytest.mark.parametrize(
    ("container", "changes"),
    [
        ("matroska", {}),
        ("matroska", {"b_frames": 2}),
        ("mpegts", {"b_frames": 2}),
        ("nut", {"picture": lambda pts: pts - 50, "sound": lambda pts: pts - 2 * RATE}),
    ],
    ids=["plain", "B-frames", "transport stream", "negative"],
)
def test_sound_and_picture_stay_together(tmp_path: Path, container: str, changes: dict[str, Change]) -> None:
    told: list[tuple[float, str]] = []
    flashes, clicks = flashes_and_clicks(write(tmp_path / "clip", container, **changes), told)  # type: ignore[arg-type]
    assert not told
    assert len(flashes) == SECONDS
    for click in clicks:
        assert min(abs(click - flash) for flash in flashes) <= 0.02


def test_reading_ends_where_timestamps_jump(tmp_path: Path) -> None:
    for name, change, what in (
        ("picture", lambda pts: pts + (20_000 if pts >= 2_000 else 0), "picture timestamps jump by +20.0 s"),
        ("sound", lambda pts: pts + (7_000 if pts >= 2_000 else 0), "sound timestamps jump by +7.0 s"),
    ):
        told: list[tuple[float, str]] = []
        path = write(tmp_path / name, "matroska", **{name: _in_ms(change, name)})  # type: ignore[arg-type]
        flashes_and_clicks(path, told)
        assert [sentence for _, sentence in told] == [what]
        assert told[0][0] == pytest.approx(2.0, abs=0.05)


def _in_ms(change: Callable[[int], int], name: str) -> Change:
    """The encoders' own time bases are 1/25 and 1/44100 s."""
    unit = 25 if name == "picture" else RATE
    return lambda pts: round(change(round(pts * 1000 / unit)) * unit / 1000)
