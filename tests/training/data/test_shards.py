"""Shards: packed by WebDataset, read back exactly, streamed through a pool; and Ray prepares like one process."""

from __future__ import annotations

import dataclasses
import gzip
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from colour_eye import ColourEye

from training.config import TrainConfig
from training.data.clip_format import ClipFormatError, read_clip, read_manifest
from training.data.clip_store import open_folder
from training.data.shards import ShardClips, find_shards, open_shards, read_records, read_shard, write_shards
from training.prepare.file import ClipRules
from training.prepare.run import PrepareOptions, prepare
from training.train import TrainOptions, run_training


@pytest.fixture
def shards(prepared: Path, tmp_path: Path) -> list[Path]:
    pytest.importorskip("webdataset")
    return write_shards(prepared, tmp_path / "shards", clips_per_shard=3)


def test_shards_hold_every_clip_once(shards: list[Path], prepared: Path) -> None:
    assert [p.name for p in shards] == ["clips-000000.tar", "clips-000001.tar", "clips-000002.tar"]
    found = {record.name: (record, clip) for path in shards for record, clip in read_shard(path)}
    assert set(found) == {r.name for r in read_manifest(prepared)}
    for record in read_manifest(prepared):
        original = read_clip(prepared, record)
        assert found[record.name][0] == record
        np.testing.assert_array_equal(found[record.name][1].frames, original.frames)
        np.testing.assert_array_equal(found[record.name][1].samples, original.samples)
    assert sorted(r.name for r in read_records(shards)) == sorted(found)
    assert find_shards(shards[0].parent) == shards
    assert find_shards(shards[0]) == [shards[0]]
    assert find_shards(prepared) == []


def test_webdataset_itself_reads_our_shards(shards: list[Path]) -> None:
    webdataset = pytest.importorskip("webdataset")
    samples = list(webdataset.WebDataset([str(p) for p in shards], shardshuffle=False))
    assert len(samples) == 7
    assert all({"json", "mp4", "safetensors"} <= set(s) for s in samples)


def test_a_pool_streams_through_all_clips_and_processes_share_the_shards(shards: list[Path]) -> None:
    pool = ShardClips(shards, ["person0", "person1"], 32, pool_clips=2, draws_per_clip=3)
    seen = {pool.clip(i % 2).name for i in range(80)}
    assert len(seen) == 7
    assert pool.clip(0).frames.shape[1] == 32
    parts = [ShardClips(shards, ["person0", "person1"], 32, pool_clips=9, rank=r, world=3) for r in range(3)]
    names = [{part.clip(i).name for i in range(part.num_clips)} for part in parts]
    assert sum(len(n) for n in names) == 7
    assert not names[0] & names[1]
    with pytest.raises(ValueError, match="process 3 of 4 has no shard"):
        ShardClips(shards, [], 32, rank=3, world=4)
    with pytest.raises(ValueError, match="no clip to train on"):
        ShardClips(shards, [], 32, names=set())


def test_only_the_training_split_is_trained_on(
    shards: list[Path], prepared: Path, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    section = dataclasses.replace(tiny_config.data, cache_gb=30 * 32 * 32 * 3 * 2.5 / 2**30)
    pool, few = open_shards(shards, section, 32)
    assert pool.num_clips == 2  # what cache_gb has room for
    records = read_manifest(prepared)
    assert {pool.clip(i % 2).name for i in range(1000)} == {r.name for r in records if r.split == "train"}
    assert few is not None
    assert {few.clip(i).name for i in range(few.num_clips)} == {r.name for r in records if r.split == "val"}
    assert few.clip(0).frames.shape[1:] == (32, 32, 3)
    # The same as from the folder, points and all.
    cache = tmp_path / "cache"
    _, same = open_folder(
        prepared, resolution_px=32, train_split="train", val_split="val", max_clips=0, cache_gb=1, cache_folder=cache
    )
    assert same is not None
    names = [same.clip(i).name for i in range(same.num_clips)]
    for i in range(few.num_clips):
        clip, twin = few.clip(i), same.clip(names.index(few.clip(i).name))
        np.testing.assert_array_equal(clip.frames, twin.frames)
        np.testing.assert_allclose(clip.points, twin.points, atol=1e-5)


def test_the_train_command_takes_a_folder_of_shards_and_resumes(
    shards: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few_steps = ("--train.batch_size", "2", "--model.resolution_px", "32", "--run.tensorboard", "false")
    options = TrainOptions(
        recipe="debug_cpu",
        data=shards[0].parent,
        out=tmp_path / "run",
        device="cpu",
        overrides=(*few_steps, "--train.steps", "1"),
    )
    run_training(options)
    run_training(dataclasses.replace(options, overrides=(*few_steps, "--train.steps", "2")))
    assert [p.name for p in sorted((tmp_path / "run" / "checkpoints").iterdir())] == ["step_00000001", "step_00000002"]
    assert "at step 1" in capsys.readouterr().out


def test_shares_are_refused_with_shards(shards: list[Path], tmp_path: Path) -> None:
    options = TrainOptions(
        recipe="debug_cpu",
        data=shards[0].parent,
        out=tmp_path / "run",
        device="cpu",
        overrides=("--data.shares", "person0:0.5", "--loss.contrastive", "0"),
    )
    with pytest.raises(ValueError, match=r"data\.shares needs a prepared folder"):
        run_training(options)


def test_hostile_shards_are_refused(shards: list[Path], tmp_path: Path) -> None:
    def tar(name: str, **members: bytes) -> Path:
        path = tmp_path / name
        with tarfile.open(path, "w") as file:
            for member, content in members.items():
                info = tarfile.TarInfo(member.replace("__", "."))
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
        return path

    with pytest.raises(ClipFormatError, match="not a part of a clip"):
        list(read_shard(tar("a.tar", a__pyd=b"x")))
    with pytest.raises(ClipFormatError, match="a clip has only json"):
        list(read_shard(tar("b.tar", a__json=b"{}")))
    with pytest.raises(ClipFormatError, match="is not JSON"):
        list(read_shard(tar("c.tar", a__json=b"{", a__mp4=b"", a__safetensors=b"")))
    record = json.dumps({"name": "../../evil"}).encode()
    with pytest.raises(ClipFormatError, match="exactly the fields"):
        list(read_shard(tar("d.tar", a__json=record, a__mp4=b"", a__safetensors=b"")))
    # Nothing is decompressed: a small file cannot become a large one.
    (tmp_path / "f.tar").write_bytes(gzip.compress(shards[0].read_bytes()))
    for read in (read_records, lambda paths: list(read_shard(paths[0]))):
        with pytest.raises(ClipFormatError, match=r"f\.tar: not a readable shard \([^\n]*\)$"):
            read([tmp_path / "f.tar"])
    (tmp_path / "e.tar").write_bytes(shards[0].read_bytes()[:3000])
    with pytest.raises(ClipFormatError):
        list(read_shard(tmp_path / "e.tar"))


@pytest.mark.slow
def test_ray_workers_prepare_like_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    from drawn_head import head
    from PIL import Image

    from training.prepare.ray_engine import prepare_with_ray

    # Workers are processes of their own and import the tracker by name.
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parents[1] / 'support'}")
    (tmp_path / "raw").mkdir()
    for i in range(4):
        Image.fromarray(head(i)).save(tmp_path / "raw" / f"{i}.png")
    rules = ClipRules(resolution_px=64, min_crop_px=40)

    def options(out: str, workers: int) -> PrepareOptions:
        return PrepareOptions(
            source=tmp_path / "raw", out=tmp_path / out, resolution_px=64, workers=workers, rules=rules
        )

    prepare(options("one", 1), log=lambda _: None, make_eye=ColourEye)
    report = prepare_with_ray(options("ray", 2), log=lambda _: None, make_eye=ColourEye)
    assert report.num_clips == 4
    assert (tmp_path / "one" / "manifest.jsonl").read_bytes() == (tmp_path / "ray" / "manifest.jsonl").read_bytes()
