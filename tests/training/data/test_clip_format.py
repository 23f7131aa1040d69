"""Prepared folders: written and read back, and what is wrong with a damaged one is said."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.data.clip_format import (
    Clip,
    ClipFormatError,
    ClipRecord,
    read_clip,
    read_manifest,
    write_clip,
    write_manifest,
)
from training.data.clip_video import ClipVideoError, read_video, write_video


def record(name: str = "one", frames: int = 6) -> ClipRecord:
    return ClipRecord(
        name=name,
        person="p",
        split="train",
        num_frames=frames,
        resolution_px=64,
        source="a.mp4",
        start_s=0.0,
        has_sound=True,
        av_offset_frames=0.0,
        crop=(1.0, 2.0, 100.0),
    )


def clip(frames: int = 6) -> Clip:
    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    picture = np.broadcast_to(ramp[None, :, None], (64, 64, 3))
    video = np.stack([np.roll(picture, 3 * t, axis=1) for t in range(frames)])
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 64, (frames, 68, 2)).astype(np.float32)
    return Clip("one", "p", video, points, rng.integers(-9, 9, 640 * frames).astype(np.int16), True)


def test_clip_round_trip(tmp_path: Path) -> None:
    write_clip(tmp_path, record(), clip(), np.ones(6, bool))
    write_manifest(tmp_path, [record()])
    (read,) = read_manifest(tmp_path)
    assert read == record()
    back = read_clip(tmp_path, read)
    np.testing.assert_array_equal(back.points, clip().points)
    np.testing.assert_array_equal(back.samples, clip().samples)
    error = back.frames.astype(float) - clip().frames
    assert np.sqrt(np.mean(error**2)) < 4


def test_opencv_reads_what_pyav_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cv2")
    path = tmp_path / "a.mp4"
    write_video(path, clip().frames)
    by_av = read_video(path)
    original = builtins.__import__

    def without_av(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "av":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_av)
    by_opencv = read_video(path)
    assert by_opencv.shape == by_av.shape
    assert np.abs(by_opencv.astype(int) - by_av).mean() < 3


def test_damage_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClipFormatError, match="is not prepared"):
        read_manifest(tmp_path)
    write_clip(tmp_path, record(), clip(), np.ones(6, bool))
    with pytest.raises(ClipFormatError, match=r"one.*manifest says 7 frames.*\[6, 64, 64, 3\]"):
        read_clip(tmp_path, record(frames=7))
    (tmp_path / "one.mp4").write_bytes(b"not a video")
    with pytest.raises(ClipFormatError, match=r"one\.mp4.*prepare it again"):
        read_clip(tmp_path, record())
    (tmp_path / "one.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(ClipFormatError, match="prepare it again"):
        read_clip(tmp_path, record())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "../x"}, "letters, digits"),
        ({"version": 9}, "version 9"),
        ({"extra": 1}, "exactly the fields"),
        ({"num_frames": "6"}, "num_frames must be int"),
        ({"crop": [1]}, "crop must be"),
    ],
)
def test_hostile_manifest_lines_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    write_manifest(tmp_path, [record()])
    values = json.loads((tmp_path / "manifest.jsonl").read_text())
    (tmp_path / "manifest.jsonl").write_text(json.dumps({**values, **change}) + "\n")
    with pytest.raises(ClipFormatError, match=message):
        read_manifest(tmp_path)


def test_empty_and_unreadable_video(tmp_path: Path) -> None:
    with pytest.raises(ClipVideoError, match=r"gone\.mp4: cannot be read"):
        read_video(tmp_path / "gone.mp4")
    write_video(tmp_path / "a.mp4", clip().frames)
    with pytest.raises(ClipVideoError, match="more than 3 frames"):
        read_video(tmp_path / "a.mp4", max_frames=3)


def test_what_is_not_prepared_says_how_to_prepare_it(tmp_path: Path) -> None:
    with pytest.raises(ClipFormatError, match=r"is not prepared .*talkface prepare .* OUT, then give OUT"):
        read_manifest(tmp_path)
    with pytest.raises(ClipFormatError, match="no such folder"):
        read_manifest(tmp_path / "nothing")
