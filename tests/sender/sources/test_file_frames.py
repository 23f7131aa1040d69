"""Pictures of files at the model's frame rate: right picture, right time, upright, contiguous, bounded memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from sender.errors import NoVideoError
from sender.sources.file_frames import FileFrames
from sender.sources.interfaces import VideoFrame

Media = Callable[..., Path]
NumberOf = Callable[[NDArray[np.uint8]], int]
MODEL_RATE = Fraction(25)
SOUND = np.zeros(48_000 * 3)


def read_frames(source: FileFrames, limit: int = 10_000) -> list[VideoFrame]:
    source.open()
    frames: list[VideoFrame] = []
    while len(frames) < limit and (frame := source.read_frame()) is not None:
        frames.append(frame)
    source.close()
    return frames


@pytest.mark.parametrize(
    "frame_rate", [Fraction(1350, 61), Fraction(25), Fraction(30), Fraction(30_000, 1001), Fraction(60)]
)
def test_each_model_frame_is_the_nearest_picture(
    tmp_path: Path, media: Media, number_of: NumberOf, frame_rate: Fraction
) -> None:
    path = media(
        tmp_path / "a.mp4",
        audio=SOUND,
        audio_codec="aac",
        sample_format="fltp",
        num_pictures=100,
        frame_rate=frame_rate,
    )
    frames = read_frames(FileFrames(path, MODEL_RATE))
    assert [frame.ticks for frame in frames] == [1920 * k for k in range(len(frames))]
    assert abs(len(frames) - 100 / float(frame_rate) * 25) <= 1.5
    for frame in frames:
        exact = frame.ticks / 48_000 * float(frame_rate)
        assert abs(number_of(frame.rgb) - exact) <= 0.51 or number_of(frame.rgb) == 99


def test_pictures_that_start_late_are_shown_early_but_stay_in_time(
    tmp_path: Path, media: Media, number_of: NumberOf
) -> None:
    path = media(tmp_path / "a.mkv", audio=SOUND, num_pictures=50, video_start_s=0.4)
    frames = read_frames(FileFrames(path, MODEL_RATE))
    numbers = [number_of(frame.rgb) for frame in frames]
    assert numbers[:11] == [0] * 11
    assert numbers[11:30] == list(range(1, 20))


@pytest.mark.parametrize("size", [(64, 48), (360, 288), (63, 47), (250, 190)])
def test_odd_sizes_come_whole_and_contiguous(
    tmp_path: Path, media: Media, number_of: NumberOf, size: tuple[int, int]
) -> None:
    path = media(tmp_path / "a.mkv", audio=SOUND, num_pictures=20, size=size, video_codec="ffv1")
    frames = read_frames(FileFrames(path, MODEL_RATE))
    assert all(frame.rgb.shape == (size[1], size[0], 3) for frame in frames)
    assert all(frame.rgb.flags.c_contiguous and frame.rgb.dtype == np.uint8 for frame in frames)
    assert [number_of(frame.rgb) for frame in frames] == list(range(20))


def test_large_pictures_are_scaled_down_in_proportion(tmp_path: Path, media: Media, number_of: NumberOf) -> None:
    path = media(
        tmp_path / "a.mp4", audio=SOUND, audio_codec="aac", sample_format="fltp", num_pictures=3, size=(1280, 720)
    )
    frames = read_frames(FileFrames(path, MODEL_RATE))
    assert frames[1].rgb.shape == (360, 640, 3)
    assert number_of(frames[1].rgb) == 1


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_rotation_metadata_is_obeyed(tmp_path: Path, media: Media, rotation: int) -> None:
    path = media(
        tmp_path / "a.mp4",
        audio=SOUND,
        audio_codec="aac",
        sample_format="fltp",
        num_pictures=3,
        size=(96, 64),
        rotation=rotation,
    )
    rgb = read_frames(FileFrames(path, MODEL_RATE))[0].rgb
    assert rgb.shape == ((96, 64, 3) if rotation in (90, -90) else (64, 96, 3))
    assert rgb.flags.c_contiguous
    # The white band is drawn at the top; turned counter-clockwise by 90 degrees it is on the left.
    edges = {0: rgb[:4], 90: rgb[:, :4], 180: rgb[-4:], -90: rgb[:, -4:]}
    assert edges[rotation].mean() > 220
    assert all(edge.mean() < 220 for turn, edge in edges.items() if turn != rotation)


def test_a_loop_repeats_with_the_period_of_the_file(tmp_path: Path, media: Media, number_of: NumberOf) -> None:
    path = media(tmp_path / "a.mp4", audio=np.zeros(48_000), audio_codec="aac", sample_format="fltp", num_pictures=25)
    frames = read_frames(FileFrames(path, MODEL_RATE, loop=True), 100)
    assert len(frames) == 100
    assert all(b.ticks > a.ticks for a, b in itertools.pairwise(frames))
    starts = [i for i, frame in enumerate(frames) if number_of(frame.rgb) == 0]
    assert starts[0] == 0
    assert len(starts) >= 4


def test_skipping_is_counted_in_the_same_times(tmp_path: Path, media: Media, number_of: NumberOf) -> None:
    path = media(tmp_path / "a.mkv", audio=SOUND, num_pictures=30)
    source = FileFrames(path, MODEL_RATE)
    source.open()
    assert [source.skip_frame() for _ in range(3)] == [0, 1920, 3840]
    frame = source.read_frame()
    assert frame is not None
    assert (frame.ticks, number_of(frame.rgb)) == (5760, 3)
    source.close()
    assert source.read_frame() is None


def test_a_file_without_pictures_says_what_to_do(tmp_path: Path, media: Media) -> None:
    with pytest.raises(NoVideoError, match="--style reference"):
        FileFrames(media(tmp_path / "a.wav", audio=SOUND), MODEL_RATE).open()


def test_damage_in_the_middle_is_passed_over(tmp_path: Path, media: Media) -> None:
    path = media(tmp_path / "a.mkv", audio=SOUND, num_pictures=75)
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(2)
    for at in rng.integers(len(data) // 2, len(data), 200):
        data[at] = rng.integers(0, 256)
    path.write_bytes(data)
    frames = read_frames(FileFrames(path, MODEL_RATE))
    assert len(frames) > 10
    assert all(b.ticks > a.ticks for a, b in itertools.pairwise(frames))


def test_a_phone_video_is_decoded_in_constant_memory(tmp_path: Path, media: Media) -> None:
    """90 pictures of 1080p60 take 560 MB when kept; what grows here is decoder and scaler."""
    path = media(
        tmp_path / "a.mp4", audio=SOUND, audio_codec="aac", sample_format="fltp",
        num_pictures=90, frame_rate=Fraction(60), size=(1920, 1080),
    )  # fmt: skip
    process = psutil.Process()
    source = FileFrames(path, MODEL_RATE)
    source.open()
    source.read_frame()
    start = process.memory_info().rss
    most = start
    while source.read_frame() is not None:
        most = max(most, process.memory_info().rss)
    source.close()
    assert most - start < 120e6
