"""Preparing raw files: what comes out, and every reason for which something does not, on files made for the purpose."""

from __future__ import annotations

import json
import os
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import av
import numpy as np
import pytest
from colour_eye import ColourEye
from numpy.typing import NDArray

from talkface_core.tracking.face_finder import FaceBox
from talkface_core.tracking.tracker import FaceTracker
from training.data.clip_format import is_prepared, read_clip, read_manifest
from training.prepare.av_offset import find_av_offset
from training.prepare.face_eye import TrackingEye
from training.prepare.file import ClipRules
from training.prepare.media_read import MediaError, read_sound, read_ticks
from training.prepare.run import PrepareOptions, prepare
from training.prepare.sources import PrepareError, find_sources

SIZE = 192
SHARED = Path(__file__).resolve().parents[3] / ".." / "shared" / "data"
RULES = ClipRules(resolution_px=64, min_crop_px=40, min_s=1.0)


def talk(t: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """How far the mouth is open, 0..1: no two moments alike, so that an offset has one answer."""
    return np.maximum(0, np.sin(2 * np.pi * (1.2 * t + 0.35 * np.square(t))))


def picture(t: float, faces: int = 1, colour: int = 90) -> NDArray[np.uint8]:
    """A head that sways, its mouth opening and closing; `faces` of them side by side."""
    ys, xs = np.mgrid[0:SIZE, 0:SIZE]
    out = np.stack([xs * 0.3 + colour, ys * 0.3 + 60, np.full_like(xs, colour)], axis=-1)
    for number in range(faces):
        cx = SIZE / 2 + (number - (faces - 1) / 2) * 90 + 3 * np.sin(3 * t)
        out[((xs - cx) / 26) ** 2 + ((ys - 90) / 34) ** 2 < 1] = ColourEye.SKIN
        opening = 2 + 6 * talk(t)
        out[((xs - cx) / 8) ** 2 + ((ys - 108) / opening) ** 2 < 1] = [120, 20, 30]
    return out.astype(np.uint8)


def voice(seconds: float, rate: int, late_s: float = 0.0) -> NDArray[np.int16]:
    t = np.arange(int(seconds * rate)) / rate
    loud = talk(t - late_s)
    return (loud * np.sin(2 * np.pi * 180 * t) * 9000).astype(np.int16)


def write(
    path: Path,
    seconds: float = 2.0,
    fps: Fraction = Fraction(25),
    *,
    faces: int = 1,
    sound: NDArray[np.int16] | None = None,
    audio_start_s: float = 0.0,
    with_audio: bool = True,
    cut_at: float | None = None,
    hide: tuple[float, float] = (9, 9),
    turn: int = 0,
) -> Path:
    """A video file; turned by quarter turns of its pixels when `turn` is given."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=fps)
        video.width = video.height = SIZE
        video.pix_fmt = "yuv420p"
        video.options = {"crf": "15", "preset": "ultrafast", "threads": "1"}
        audio = container.add_stream("aac", rate=48_000, layout="mono") if with_audio else None
        for i in range(int(seconds * fps)):
            t = float(i / fps)
            colour = 90 if cut_at is None or t < cut_at else 200
            image = picture(t, 0 if hide[0] <= t < hide[1] else faces, colour)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.rot90(image, turn)), format="rgb24")
            frame.pts, frame.time_base = i, 1 / fps
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if audio is not None:
            samples = voice(seconds, 48_000) if sound is None else sound
            for start in range(0, len(samples) - 1023, 1024):
                block = av.AudioFrame.from_ndarray(samples[None, start : start + 1024], format="s16", layout="mono")
                block.sample_rate, block.pts = 48_000, start + round(audio_start_s * 48_000)
                block.time_base = Fraction(1, 48_000)
                container.mux(audio.encode(block))
            container.mux(audio.encode())
    return path


def run(source: Path, out: Path, workers: int = 1) -> tuple[list[str], list[dict[str, object]]]:
    lines: list[str] = []
    chosen = PrepareOptions(source=source, out=out, resolution_px=64, workers=workers, rules=RULES)
    prepare(chosen, log=lines.append, make_eye=ColourEye)
    dropped = [json.loads(line) for line in (out / "dropped.jsonl").read_text().splitlines()]
    return lines, dropped


def only_reason(source: Path, out: Path) -> str:
    """The one reason for which a source that gives nothing was dropped."""
    with pytest.raises(PrepareError, match=r"no clip came out of 1 files; .*dropped\.jsonl says why"):
        run(source, out)
    (line,) = (out / "dropped.jsonl").read_text().splitlines()
    return str(json.loads(line)["reason"])


def test_a_plain_file_becomes_a_clip(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4")
    run(tmp_path / "a.mp4", tmp_path / "out")
    (record,) = read_manifest(tmp_path / "out")
    assert (record.num_frames, record.person, record.split) == (50, tmp_path.name, "train")
    assert record.has_sound
    assert record.av_offset_frames is not None
    assert abs(record.av_offset_frames) <= 1
    clip = read_clip(tmp_path / "out", record)
    # The face fills the crop and the points lie on it.
    assert 20 < np.ptp(clip.points[0, :, 0]) < 60
    x, y = clip.points[0, 30].astype(int)
    assert np.abs(clip.frames[0, y, x].astype(int) - ColourEye.SKIN).max() < 25


@pytest.mark.parametrize("fps", [Fraction(60), Fraction(30000, 1001), Fraction(22131, 1000)])
def test_time_is_kept_at_any_frame_rate(tmp_path: Path, fps: Fraction) -> None:
    path = write(tmp_path / "a.mp4", 3.0, fps)
    ticks = list(read_ticks(path))
    assert abs(len(ticks) - 75) <= 1
    # The head sways with known speed: its place tells which moment each tick shows.
    for tick in ticks[3:70:7]:
        columns = np.flatnonzero(np.abs(tick.frame[90].astype(int) - ColourEye.SKIN).max(-1) < 30)
        centre = (columns.min() + columns.max()) / 2
        expected = SIZE / 2 + 3 * np.sin(3 * tick.number / 25)
        assert abs(centre - expected) < 1.5


def test_sound_is_placed_by_its_timestamps(tmp_path: Path) -> None:
    click = np.zeros(48_000, np.int16)
    click[24_000:24_480] = 20_000
    prompt = read_sound(write(tmp_path / "a.mkv", 2.0, sound=click))
    late = read_sound(write(tmp_path / "b.mkv", 2.0, sound=click, audio_start_s=0.4))
    assert prompt is not None
    assert late is not None
    at = [int(np.argmax(np.abs(s.astype(int)) > 6000)) / 16_000 for s in (prompt, late)]
    assert at[0] == pytest.approx(0.5, abs=0.03)
    assert at[1] - at[0] == pytest.approx(0.4, abs=0.005)


def test_rotated_files_are_turned_upright(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", turn=1)  # pixels lie on their side...
    data = bytearray(path.read_bytes())
    box = data.index(b"tkhd")
    matrix = box + 4 + 4 + 20 + 8 + 8  # full box header, five 32-bit fields, reserved, layer/group/volume
    one = (1 << 16).to_bytes(4, "big")
    # ...and the track's matrix says: show me a quarter turn clockwise.
    data[matrix : matrix + 20] = bytes(4) + one + bytes(4) + (-(1 << 16)).to_bytes(4, "big", signed=True) + bytes(4)
    path.write_bytes(data)
    first = next(iter(read_ticks(path))).frame
    assert np.abs(first.astype(int) - picture(0.0)).mean() < 6


@pytest.mark.parametrize(
    ("name", "make", "reason"),
    [
        ("corrupt", lambda p: p.write_bytes(b"\x00\x00\x00\x18ftypmp42" + os.urandom(5000)), "file cannot be opened"),
        ("empty", lambda p: p.write_bytes(b""), "file cannot be opened"),
        ("silent", lambda p: write(p, sound=np.zeros(96_000, np.int16)), "silent: --keep-silent"),
        ("mute", lambda p: write(p, with_audio=False), "no sound stream: --keep-silent"),
        ("faceless", lambda p: write(p, faces=0), "no face in sight"),
        ("two", lambda p: write(p, faces=2), "more than one face"),
        ("short", lambda p: write(p, 0.6), "too short: one face for 0.60 s, at least 1.0 s"),
        (
            "late",
            lambda p: write(p, 3.0, sound=voice(3.0, 48_000, late_s=0.36)[17_280:]),
            "sound off the lips: +",
        ),
    ],
)
def test_what_cannot_be_used_is_dropped_with_its_reason(tmp_path: Path, name: str, make: object, reason: str) -> None:
    path = tmp_path / f"{name}.mp4"
    assert callable(make)
    make(path)
    if name == "late":
        write(path, 3.0, sound=voice(3.0, 48_000, late_s=9 / 25))
    assert reason in only_reason(path, tmp_path / "out")


def test_cuts_and_lost_faces_split_a_video(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", 6.0, cut_at=2.0, hide=(4.0, 4.6))
    _, dropped = run(tmp_path / "a.mp4", tmp_path / "out")
    records = read_manifest(tmp_path / "out")
    assert [(r.start_s, r.num_frames) for r in records] == [(0.0, 50), (2.0, 50), (4.6, 35)]
    assert [r.name for r in records] == ["a", "a_000050", "a_000115"]
    assert dropped == []


def test_long_videos_are_cut_into_equal_parts(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", 5.0)
    rules = ClipRules(resolution_px=64, min_crop_px=40, max_s=2.0)
    options = PrepareOptions(source=tmp_path / "a.mp4", out=tmp_path / "out", resolution_px=64, workers=1, rules=rules)
    prepare(options, log=lambda _: None, make_eye=ColourEye)
    assert [r.num_frames for r in read_manifest(tmp_path / "out")] == [41, 42, 42]


def test_damage_after_the_start_keeps_what_came_before(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", 4.0)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    run(path, tmp_path / "out")
    (record,) = read_manifest(tmp_path / "out")
    assert 40 < record.num_frames < 90


def test_an_interrupted_run_goes_on_and_a_changed_file_is_done_again(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for name in ("a", "b"):
        write(tmp_path / "raw" / f"{name}.mp4")
    run(tmp_path / "raw", tmp_path / "out")
    (tmp_path / "out" / "b.mp4").unlink()
    lines, _ = run(tmp_path / "raw", tmp_path / "out")
    assert lines[0] == "1 of 2 files were done before"
    assert (tmp_path / "out" / "b.mp4").is_file()
    write(tmp_path / "raw" / "a.mp4", 3.0)
    lines, _ = run(tmp_path / "raw", tmp_path / "out")
    assert lines[0] == "1 of 2 files were done before"
    assert {r.name: r.num_frames for r in read_manifest(tmp_path / "out")} == {"a": 75, "b": 50}


def test_several_processes_give_the_same_clips(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for name in ("a", "b", "c"):
        write(tmp_path / "raw" / f"{name}.mp4", 1.2)
    run(tmp_path / "raw", tmp_path / "one")
    run(tmp_path / "raw", tmp_path / "two", workers=2)
    assert (tmp_path / "one" / "manifest.jsonl").read_bytes() == (tmp_path / "two" / "manifest.jsonl").read_bytes()


def test_sources_of_a_voxceleb_tree_and_a_table(tmp_path: Path) -> None:
    tree = tmp_path / "vox" / "mp4"
    for path in ("id00012/abc/00001.mp4", "id00012/abc/00002.mp4", "id00345/x y/00001.mp4"):
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).touch()
    found = find_sources(tree)
    assert [s.person for s in found] == ["id00012", "id00012", "id00345"]
    assert len({s.name for s in found}) == 3
    assert all("/" not in s.name for s in found)
    flat = tmp_path / "set" / "clips"
    flat.mkdir(parents=True)
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        (flat / name).touch()
    (flat.parent / "manifest.csv").write_text(
        "file,person,split,use\nclips/a.mp4,ann,train,train\nclips/b.mp4,bob,val,train\nclips/c.mp4,cid,test,test\n"
    )
    assert [(s.person, s.split) for s in find_sources(flat, use="train")] == [("ann", "train"), ("bob", "val")]
    assert [s.person for s in find_sources(flat, split="test")] == ["cid"]


def test_what_cannot_be_a_source_is_said(tmp_path: Path, prepared: Path) -> None:
    with pytest.raises(PrepareError, match="already prepared"):
        find_sources(prepared)
    with pytest.raises(PrepareError, match="no such file or folder"):
        find_sources(tmp_path / "gone")
    with pytest.raises(PrepareError, match="holds no video"):
        find_sources(tmp_path)
    with pytest.raises(PrepareError, match=r"need a manifest\.csv"):
        find_sources(tmp_path, split="val")
    (tmp_path / "sound.mkv").write_bytes(b"")
    with pytest.raises(MediaError, match="cannot be opened"):
        list(read_ticks(tmp_path / "sound.mkv"))


def test_a_picture_becomes_a_still_without_sound(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(picture(0.0)).save(tmp_path / "a.png")
    run(tmp_path / "a.png", tmp_path / "out")
    assert is_prepared(tmp_path / "out")
    (record,) = read_manifest(tmp_path / "out")
    assert (record.num_frames, record.has_sound) == (1, False)


def test_only_confirmed_faces_of_comparable_size_are_counted() -> None:
    class Tracker(FaceTracker):
        """Confirms what it is told; the finder is never asked."""

        def __init__(self, *sides: float) -> None:
            self._sides = sides

        def all_faces(self, frame: NDArray[np.uint8]) -> list[FaceBox]:
            return [FaceBox(100.0 * i, 0.0, side, side, 0.9) for i, side in enumerate(self._sides)]

    frame = picture(0.0)
    counts = [TrackingEye(Tracker(*sides)).count(frame) for sides in ((), (80.0,), (80.0, 39.0), (80.0, 40.0))]
    assert counts == [0, 1, 1, 2]


def test_an_offset_that_the_lip_expert_does_not_find_drops_nothing(tmp_path: Path) -> None:
    class Doubter(ColourEye):
        asked: ClassVar[list[int]] = []

        def confirms_offset(self, points: NDArray[np.float32], samples: NDArray[np.int16], frames: int) -> bool:
            self.asked.append(frames)
            return False

    write(tmp_path / "a.mp4", 3.0, sound=voice(3.0, 48_000, late_s=9 / 25))
    options = PrepareOptions(source=tmp_path / "a.mp4", out=tmp_path / "out", resolution_px=64, workers=1, rules=RULES)
    prepare(options, log=lambda _: None, make_eye=Doubter)
    (record,) = read_manifest(tmp_path / "out")
    assert record.av_offset_frames is None
    assert len(Doubter.asked) == 1
    assert abs(Doubter.asked[0] - 9) <= 1


@pytest.mark.shared
def test_the_lip_expert_tells_chance_from_an_offset(tmp_path: Path) -> None:
    path = SHARED / "grid_s1" / "bwbh1a.mp4"
    if not path.exists():
        pytest.skip("shared data is not here")
    options = PrepareOptions(source=path, out=tmp_path / "out", resolution_px=64, workers=1)
    prepare(options, log=lambda _: None)
    (record,) = read_manifest(tmp_path / "out")
    clip = read_clip(tmp_path / "out", record)
    # Loudness alone says +12, with the best correlation of 600 clips.
    assert find_av_offset(clip.points, clip.samples).frames == 12
    assert find_av_offset(clip.points, clip.samples).is_clear
    assert record.av_offset_frames is None
    eye = TrackingEye()
    assert not eye.confirms_offset(clip.points, clip.samples, 12)
    late = np.concatenate([np.zeros(8 * 640, np.int16), clip.samples])[: len(clip.samples)]
    assert eye.confirms_offset(clip.points, late, 8)
    assert not eye.confirms_offset(clip.points[:30], late[: 30 * 640], 8)  # too short to tell
