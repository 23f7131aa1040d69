"""Batches: the same for the same step, split alike over processes, and what they hold fits together."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from training.config import TrainConfig
from training.data.clip_format import read_manifest
from training.data.clip_store import FolderClips, open_folder, resize_frames, split_records
from training.data.sampler import HYBRID_CONTEXT, Batch, Sampler, audio_window, clip_chances


@pytest.fixture
def clips(prepared: Path, tmp_path: Path) -> FolderClips:
    training, _ = open_folder(
        prepared, resolution_px=64, train_split="train", val_split="val", max_clips=0, cache_gb=1, cache_folder=tmp_path
    )
    return training


def sampler(clips: FolderClips, config: TrainConfig, rank: int = 0, world: int = 1) -> Sampler:
    return Sampler(clips, clips.persons, config, rank, world)


def equal(a: Batch, b: Batch) -> bool:
    return all(torch.equal(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(Batch))


def test_a_step_is_always_the_same_and_two_processes_share_it(clips: FolderClips, tiny_config: TrainConfig) -> None:
    config = dataclasses.replace(tiny_config, train=dataclasses.replace(tiny_config.train, batch_size=4))
    whole = sampler(clips, config).batch(7)
    assert equal(whole, sampler(clips, config).batch(7))
    assert not equal(whole, sampler(clips, config).batch(8))
    halves = [sampler(clips, config, rank, 2).batch(7) for rank in range(2)]
    for field in dataclasses.fields(Batch):
        joined = torch.cat([getattr(h, field.name) for h in halves])
        assert torch.equal(joined, getattr(whole, field.name)), field.name
    parts = whole.split(2)
    assert torch.equal(parts[1].frames, whole.frames[2:])


def test_shapes_and_contents(clips: FolderClips, tiny_config: TrainConfig) -> None:
    style = dataclasses.replace(tiny_config.style, cross=0.0, drop=0.0, drop_audio=0.0)
    config = dataclasses.replace(tiny_config, style=style)
    batch = sampler(clips, config).batch(0)
    b, t, w = 2, config.train.frames_per_clip, config.train.frames_per_clip + config.style.context_frames
    assert batch.frames.shape == (b, w, 3, 64, 64)
    assert batch.windows.shape == (b, t, 8192)
    assert batch.hybrid_points.shape == (b, t + 2 * HYBRID_CONTEXT, 68, 2)
    assert not batch.hybrid_mask[:, :HYBRID_CONTEXT].any()
    assert not batch.hybrid_mask[:, -HYBRID_CONTEXT:].any()
    assert batch.hybrid_mask.any(1).all()
    assert batch.keep_style.tolist() == batch.keep_audio.tolist() == [1, 1]
    # The drawn frames are the middle of the hybrid span.
    assert torch.equal(batch.hybrid_points[:, HYBRID_CONTEXT : HYBRID_CONTEXT + t], batch.points[:, -t:])
    found = [
        any((clips.clip(i).frames[k].transpose(2, 0, 1) == batch.frames[n, -1].numpy()).all() for k in range(30))
        for n in range(b)
        for i in range(clips.num_clips)
    ]
    assert sum(found) >= b


def test_flipping_mirrors_pictures_and_points(clips: FolderClips, tiny_config: TrainConfig) -> None:
    data = dataclasses.replace(tiny_config.data, flip=True)
    config = dataclasses.replace(tiny_config, data=data)
    seen = set()
    for step in range(12):
        batch = sampler(clips, config).batch(step)
        for n in range(2):
            frame, points = batch.frames[n, -1].float(), batch.points[n, -1]
            assert points[36, 0] < points[45, 0]  # the person's right eye stays on the left of the picture
            x, y = points[36:42].mean(0).round().long().tolist()
            assert frame[:, y, x].max() < 80  # and there is a dark eye in the picture
            seen.add(round(float(points[:, 0].mean() - 32)))
    assert min(seen) < 0 < max(seen)


def test_windows_follow_the_frames_time() -> None:
    samples = np.arange(1, 30_001, dtype=np.int32).astype(np.int16)
    window = audio_window(samples, 20)
    start = 20 * 640 - 6272
    np.testing.assert_array_equal(window[:100], samples[start : start + 100])
    assert audio_window(samples, 0)[0] == 0
    assert (audio_window(samples, 500) == 0).all()


def test_batches_come_from_a_thread_and_errors_come_through(clips: FolderClips, tiny_config: TrainConfig) -> None:
    config = dataclasses.replace(tiny_config, data=dataclasses.replace(tiny_config.data, prefetch=2))
    stop = threading.Event()
    stream = sampler(clips, config).batches(3, stop)
    assert equal(next(stream), sampler(clips, config).batch(3))
    assert equal(next(stream), sampler(clips, config).batch(4))
    stream.close()
    broken = sampler(clips, config)
    broken._source = None  # type: ignore[assignment]
    with pytest.raises(AttributeError):
        next(broken.batches(0, threading.Event()))


def test_a_batch_that_does_not_divide_is_refused(clips: FolderClips, tiny_config: TrainConfig) -> None:
    with pytest.raises(ValueError, match="batch_size 2 must be a multiple of 3 processes"):
        sampler(clips, tiny_config, 0, 3)


def test_frames_beyond_the_cache_lie_in_a_file(prepared: Path, tmp_path: Path) -> None:
    records = read_manifest(prepared)[:2]
    small = FolderClips(prepared, records, 32, 1.0, tmp_path)
    on_disk = FolderClips(prepared, records, 32, 0.0, tmp_path)
    assert list(tmp_path.glob("frames_*.npy"))
    again = FolderClips(prepared, records, 32, 0.0, tmp_path)
    for other in (on_disk, again):
        np.testing.assert_array_equal(other.clip(1).frames, small.clip(1).frames)
        np.testing.assert_array_equal(other.clip(1).points, small.clip(1).points)


def test_splits(prepared: Path) -> None:
    records = read_manifest(prepared)
    train, val = split_records(records, "train", "val")
    assert (len(train), len(val)) == (5, 2)
    train, val = split_records([r for r in records if r.split == "train"], "train", "val")
    assert (len(train), len(val)) == (4, 1)
    with pytest.raises(ValueError, match="no clip has split 'x'; there are train, val"):
        split_records(records, "x", "val")


def test_resizing_keeps_the_mean() -> None:
    frames = np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3)).astype(np.uint8)
    assert resize_frames(frames, 32).shape == (2, 32, 32, 3)
    assert abs(resize_frames(frames, 32).mean() - frames.mean()) < 1
    assert resize_frames(frames, 64) is frames


def test_persons_get_their_shares(clips: FolderClips, tiny_config: TrainConfig) -> None:
    assert len(clips.persons) > 1
    first, *others = clips.persons
    data = dataclasses.replace(tiny_config.data, shares=(f"{first}:0.75",))
    config = dataclasses.replace(tiny_config, data=data, train=dataclasses.replace(tiny_config.train, batch_size=400))
    drawn = sampler(clips, config).batch(0).person
    assert float((drawn == 0).float().mean()) == pytest.approx(0.75, abs=0.06)
    assert set(drawn.tolist()) == set(range(1 + len(others)))


def test_shares_that_do_not_fit_are_named(clips: FolderClips, tiny_config: TrainConfig) -> None:
    with pytest.raises(ValueError, match="no clip shows 'nobody'"):
        clip_chances(clips, {"nobody": 0.5})
    with pytest.raises(ValueError, match=r"a share of 0\.1 is left and nobody to give it to"):
        clip_chances(clips, dict.fromkeys(clips.persons, 0.9 / len(clips.persons)))
    for bad in ("a:2", "a:x", "0.5", ":0.5"):
        with pytest.raises(ValueError, match="is not PERSON:SHARE"):
            dataclasses.replace(tiny_config.data, shares=(bad,))
    with pytest.raises(ValueError, match="add up to more than 1"):
        dataclasses.replace(tiny_config.data, shares=("a:0.6", "b:0.6"))
