"""Stills that become clips: the first frame is the still, the points follow the mesh, expressions come smoothly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training.data.clip_format import (
    Clip,
    ClipFormatError,
    ClipRecord,
    read_manifest,
    write_clip,
    write_manifest,
)
from training.data.clip_store import FolderClips
from training.data.face_mesh import MESH_TO_68, ExpressionBank
from training.data.pack import pack
from training.data.pseudo_clip import MOTION_NAME, Motion, expression_path, load_motion, pseudo_clip

SIDE = 96


def mesh() -> np.ndarray:
    """[478, 3] points spread over the front of an egg in the middle of the picture."""
    k = np.arange(478) + 0.5
    radius, angle = np.sqrt(k / 478), np.pi * (1 + 5**0.5) * k  # a sunflower: even, no two alike
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    depth = -np.sqrt(np.clip(1 - radius**2, 0, None))
    return np.stack([48 + 18 * x, 48 + 24 * y, 20 * depth], axis=1)


def bank(rng: np.random.Generator) -> ExpressionBank:
    meshes = np.stack([mesh() + rng.normal(0, 0.4, (478, 3)) for _ in range(6)])
    people = np.array(["a"] * 3 + ["b"] * 3)
    return ExpressionBank.of_people(meshes, rng.random((6, 52)).astype(np.float32), people, mesh())


def test_expressions_start_from_none_and_pass_smoothly() -> None:
    expressions = expression_path(np.random.default_rng(1), bank(np.random.default_rng(2)), 13)
    assert expressions.shape == (13, 478, 3)
    assert not expressions[0].any()
    assert expressions[4].any()
    steps = np.abs(np.diff(expressions, axis=0)).max(axis=(1, 2))
    # Halfway between two keys the cosine moves fastest: by half the whole way when a key is three frames apart.
    assert steps.max() <= 0.55 * np.abs(np.diff(expressions[::3], axis=0)).max() + 1e-9


def picture() -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.stack([x * 2, y * 2, 128 + 60 * np.sin(x / 5)], axis=-1).astype(np.uint8)


def still(name: str) -> Clip:
    points = mesh()[list(MESH_TO_68), :2].astype(np.float32)[None] + 0.5
    return Clip(name, "someone", picture()[None], points, np.zeros(640, np.int16), has_sound=False)


def motion(*names: str) -> Motion:
    return Motion({name: mesh() for name in names}, mesh(), bank(np.random.default_rng(3)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A prepared folder: two stills with a mesh, one without, and a video."""
    records = []
    for name, length in (("a", 1), ("b", 1), ("c", 1), ("video", 5)):
        clip = still(name)
        if length > 1:
            samples = np.zeros(640 * length, np.int16)
            clip = Clip(name, "v", np.repeat(clip.frames, length, 0), np.repeat(clip.points, length, 0), samples, True)
        record = ClipRecord(
            name=name, person=clip.person, split="train", num_frames=length, resolution_px=SIDE, source=f"{name}.mp4",
            start_s=0.0, has_sound=clip.has_sound, av_offset_frames=None, crop=(0.0, 0.0, float(SIDE)),
        )  # fmt: skip
        write_clip(tmp_path, record, clip, np.ones(length, bool))
        records.append(record)
    write_manifest(tmp_path, records)
    motion("a", "b").save(tmp_path)
    return tmp_path


def test_a_still_becomes_a_silent_clip_whose_points_follow_the_mesh() -> None:
    given = still("a")
    moved = pseudo_clip(given, motion("a"), 6, np.random.default_rng(3))
    assert moved.frames.shape == (6, SIDE, SIDE, 3)
    assert moved.points.shape == (6, 68, 2)
    assert moved.samples.shape == (6 * 640,)
    assert not moved.has_sound
    np.testing.assert_array_equal(moved.frames[0], given.frames[0])
    np.testing.assert_array_equal(moved.points[0], given.points[0])
    assert np.abs(moved.points[1:] - given.points).max() > 0.5
    # Red says where a pixel was: at the moved nose it is that of the still's nose.
    nose = moved.points[5, 30]
    red = float(moved.frames[5][round(float(nose[1])), round(float(nose[0])), 0])
    assert abs(red / 2 - float(given.points[0, 30, 0])) < 2.5


def test_motion_comes_back_from_its_file(tmp_path: Path) -> None:
    kept = motion("b", "a")
    kept.save(tmp_path)
    read = load_motion(tmp_path)
    assert set(read.meshes) == {"a", "b"}
    np.testing.assert_allclose(read.meshes["a"], mesh(), atol=0.05)
    np.testing.assert_allclose(read.bank.moves, kept.bank.moves, atol=0.01)
    fewer = read.of({"a"}, max_expressions=2)
    assert set(fewer.meshes) == {"a"}
    assert len(fewer.bank.moves) == 2


def test_damaged_motion_is_refused_with_the_way_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(ClipFormatError, match=r"motion\.safetensors.*pseudo_video"):
        load_motion(tmp_path)
    motion("a").save(tmp_path)
    path = tmp_path / MOTION_NAME
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ClipFormatError, match="pseudo_video"):
        load_motion(tmp_path)


def test_stills_move_while_they_are_read_and_the_same_every_time(folder: Path, tmp_path: Path) -> None:
    records = read_manifest(folder)
    first, again = (FolderClips(folder, records, SIDE, 1.0, tmp_path / "cache", still_frames=4) for _ in range(2))
    lengths = {first.clip(i).name: len(first.clip(i).frames) for i in range(first.num_clips)}
    assert lengths == {"a": 4, "b": 4, "c": 1, "video": 5}
    for i in range(first.num_clips):
        np.testing.assert_array_equal(first.clip(i).frames, again.clip(i).frames)
        np.testing.assert_array_equal(first.clip(i).points, again.clip(i).points)
    assert np.abs(first.clip(0).points - first.clip(1).points).max() > 0.5  # two stills, two paths
    on_disk = FolderClips(folder, records, SIDE, 0.0, tmp_path / "cache", still_frames=4)
    np.testing.assert_array_equal(on_disk.clip(1).frames, first.clip(1).frames)


def test_stills_that_should_move_need_motion(folder: Path, tmp_path: Path) -> None:
    (folder / MOTION_NAME).unlink()
    with pytest.raises(ClipFormatError, match="pseudo_video"):
        FolderClips(folder, read_manifest(folder), SIDE, 1.0, tmp_path / "cache", still_frames=4)


def test_a_pack_fits_its_limit_and_reads_like_the_folder(folder: Path, tmp_path: Path) -> None:
    whole = sum(p.stat().st_size for p in folder.iterdir())
    packed = pack(folder, tmp_path / "pack", max_bytes=whole * 2, crf=18)
    assert packed == sum(p.stat().st_size for p in (tmp_path / "pack").iterdir())
    assert [r.name for r in read_manifest(tmp_path / "pack")] == ["a", "b", "c", "video"]
    assert set(load_motion(tmp_path / "pack").meshes) == {"a", "b"}
    read = FolderClips(tmp_path / "pack", read_manifest(tmp_path / "pack"), SIDE, 1.0, tmp_path / "cache")
    assert np.abs(read.clip(0).frames.astype(int) - picture()[None]).mean() < 4
    small = pack(folder, tmp_path / "small", max_bytes=whole * 2 // 3, crf=30)
    assert small <= whole * 2 // 3
    names = {r.name for r in read_manifest(tmp_path / "small")}
    assert names < {"a", "b", "c", "video"}
    if (tmp_path / "small" / MOTION_NAME).exists():
        assert set(load_motion(tmp_path / "small").meshes) <= names
    with pytest.raises(ValueError, match="holds not even"):
        pack(folder, tmp_path / "none", max_bytes=2000, crf=30)
