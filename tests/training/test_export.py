"""Which clips an export looks at, whose face comes with it, and what it must not blend or let through."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from talkface_core.face.model import load_face_model
from training.config import TrainConfig
from training.data.clip_format import ClipRecord, read_clip, read_manifest, write_manifest
from training.data.clip_store import resize_clip
from training.distributed import World
from training.evaluate.clip import clip_style
from training.export import ExportOptions, choose_clips, export_run, load_run
from training.loop import open_run
from training.loss.feature_networks import FeatureNetworks
from training.networks import to_pictures


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A manifest alone: 119 clips of 17 persons, the seventh first; one more person has a still only."""
    records = [record(f"clip{i}", f"person{(i + 7) % 17}") for i in range(119)]
    still = dataclasses.replace(record("still", "still"), num_frames=1, has_sound=False)
    write_manifest(tmp_path, [*records, still])
    return tmp_path


def record(name: str, person: str) -> ClipRecord:
    return ClipRecord(
        name=name,
        person=person,
        split="train",
        num_frames=75,
        resolution_px=64,
        source=f"{name}.mp4",
        start_s=0.0,
        has_sound=True,
        av_offset_frames=0.0,
        crop=(0.0, 0.0, 64.0),
    )


def persons(records: list[ClipRecord]) -> list[str]:
    return [r.person for r in records]


def test_no_more_clips_are_taken_than_asked_for(manifest: Path) -> None:
    clips = choose_clips(manifest, "person3", 60, by_picture=True)
    assert len(clips.measured) == 60
    assert len({r.name for r in clips.measured}) == 60
    assert len(set(persons(clips.measured))) == 17
    assert len(choose_clips(manifest, "person3", 200, by_picture=True).measured) == 119
    assert len(choose_clips(manifest, "person3", 5, by_picture=False).measured) == 5


@pytest.mark.parametrize("person", [f"person{i}" for i in range(17)])
def test_the_face_and_the_reel_are_the_persons(manifest: Path, person: str) -> None:
    clips = choose_clips(manifest, person, 10, by_picture=True)
    assert clips.face.person == person
    assert persons(clips.reel) == [person] * 7
    alone = choose_clips(manifest, person, 10, by_picture=False)
    assert persons(alone.measured) == persons(alone.reel) == [person] * 7


def test_a_person_of_stills_keeps_the_face_and_borrows_the_style(manifest: Path) -> None:
    clips = choose_clips(manifest, "still", 10, by_picture=True)
    assert clips.face.name == "still"
    assert len(clips.reel) == 10
    assert "still" not in persons([*clips.reel, *clips.measured])


def test_nobodys_face_is_refused(manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no training clip of 'nobody', whose face is asked for"):
        choose_clips(manifest, "nobody", 10, by_picture=True)
    # A learned identity needs no picture.
    assert choose_clips(manifest, "nobody", 10, by_picture=False).measured
    empty = tmp_path / "empty"
    empty.mkdir()
    write_manifest(empty, [r for r in read_manifest(manifest) if r.person == "still"])
    with pytest.raises(ValueError, match="empty holds no training clip with sound"):
        choose_clips(empty, "still", 10, by_picture=True)


def test_the_person_asked_for_comes_with_the_weights(
    tiny_config: TrainConfig, prepared: Path, tmp_path: Path, features: FeatureNetworks
) -> None:
    """One clip in five is measured, and it is another person's."""
    many = dataclasses.replace(tiny_config, model=dataclasses.replace(tiny_config.model, identity="encoder"))
    run = open_run(many, prepared, tmp_path / "run", features, World())
    encoder = run.state.ema.identities.encoder
    assert encoder is not None
    torch.nn.init.normal_(encoder.out.weight, std=30.0)
    run.save()
    _, networks, _ = load_run(tmp_path / "run")
    assert networks.identities.encoder is not None
    for person in ("person0", "person1"):
        options = ExportOptions(run=tmp_path / "run", data=prepared, out=tmp_path / person, person=person, max_clips=1)
        export_run(options)
        identity = load_face_model(options.out).default_identity()
        own = next(r for r in read_manifest(prepared) if r.person == person)
        clip = resize_clip(read_clip(prepared, own), many.model.resolution_px)
        first = torch.from_numpy(clip.frames[:1].copy()).permute(0, 3, 1, 2)
        with torch.inference_mode():
            expected = networks.identities.encoder(to_pictures(first)).z[0].numpy()
        np.testing.assert_allclose(identity.z, expected, rtol=1e-4, atol=1e-4)


def test_a_run_without_style_draws_without_style(
    tiny_config: TrainConfig, prepared: Path, tmp_path: Path, features: FeatureNetworks
) -> None:
    """E_style was never trained: whatever it says must not move the face (Table II, w/o VideoRef)."""
    style = dataclasses.replace(tiny_config.style, enabled=False)
    open_run(dataclasses.replace(tiny_config, style=style), prepared, tmp_path / "run", features, World()).save()
    export_run(ExportOptions(run=tmp_path / "run", data=prepared, out=tmp_path / "weights"))
    model = load_face_model(tmp_path / "weights")
    values = clip_style(model, read_clip(prepared, read_manifest(prepared)[0]))
    with torch.inference_mode():
        assert not model.weights.networks.style_decoder(torch.from_numpy(values)).any()


def test_runs_that_look_at_frames_differently_are_not_blended(
    tiny_config: TrainConfig, prepared: Path, tmp_path: Path, features: FeatureNetworks
) -> None:
    style = dataclasses.replace(tiny_config.style, mask_mouth=False)
    other = dataclasses.replace(tiny_config, style=style)
    for config, name in ((tiny_config, "run"), (other, "other")):
        open_run(config, prepared, tmp_path / name, features, World()).save()
    options = ExportOptions(run=tmp_path / "run", data=prepared, out=tmp_path / "weights", blend=tmp_path / "other")
    with pytest.raises(ValueError, match=r"another style.mask_mouth or style.center than"):
        export_run(options)
