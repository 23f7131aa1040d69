"""E_audio learns from the lips layer without drawing; what comes out is a run to export and to go on from."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from talkface_core.errors import WeightsError
from talkface_core.style.encoder import StyleDecoder
from training.audio_distil import (
    DistilOptions,
    Lessons,
    d_lips,
    explained,
    fit_lips,
    heard,
    make_lessons,
    perturbed,
    share,
    teach,
    train_audio,
)
from training.config import TrainConfig
from training.data.clip_format import read_clip, read_manifest, write_clip, write_manifest
from training.distributed import World
from training.export import ExportOptions, export_run, load_run
from training.loop import open_run
from training.loss.feature_networks import FeatureNetworks
from training.reconstruct import raw_style_values


@pytest.fixture
def run_folder(tiny_config: TrainConfig, prepared: Path, tmp_path: Path, features: FeatureNetworks) -> Path:
    # Fine steps: what an encoder says after one step of training is not rounded to nothing.
    style = dataclasses.replace(tiny_config.style, step_64ths=8)
    config = dataclasses.replace(tiny_config, style=style, train=dataclasses.replace(tiny_config.train, steps=1))
    open_run(config, prepared, tmp_path / "run", features, World()).train()
    return tmp_path / "run"


def options(run: Path, data: Path, out: Path, **changes: float) -> DistilOptions:
    return dataclasses.replace(
        DistilOptions(run=run, data=data, out=out, minutes=1.0, batch_size=16, max_steps=20), **changes
    )


def test_lessons_are_what_the_run_says(run_folder: Path, prepared: Path) -> None:
    config, networks, _ = load_run(run_folder)
    records = [r for r in read_manifest(prepared) if r.has_sound][:2]
    lessons = make_lessons(networks, config, prepared, records, 2, 0, None)
    num_frames = sum(r.num_frames for r in records)
    assert lessons.mels.shape == (3, num_frames, 80, 29)
    assert not np.array_equal(lessons.mels[0], lessons.mels[1])
    assert not lessons.lips[:, :12].any()
    assert lessons.lips[:, 12:].any()
    expected = heard(networks.faces.audio_encoder, lessons.mels[0]) + d_lips(networks.faces.style_decoder, lessons.lips)
    torch.testing.assert_close(lessons.target, expected)


def known_lessons(run_folder: Path, prepared: Path) -> tuple[TrainConfig, Lessons]:
    """A target that is the loudness: any encoder can learn it from the sound."""
    config, networks, _ = load_run(run_folder)
    records = [r for r in read_manifest(prepared) if r.has_sound]
    lessons = make_lessons(networks, config, prepared, records, 1, 0, None)
    loudness = torch.from_numpy(lessons.mels[0].astype(np.float32)).mean(dim=(1, 2))
    direction = torch.linspace(-1, 1, lessons.target.shape[1])
    return config, Lessons(lessons.mels, lessons.lips, loudness[:, None] * direction)


def test_sound_learns_what_it_can_tell(run_folder: Path, prepared: Path, tmp_path: Path) -> None:
    config, lessons = known_lessons(run_folder, prepared)
    teacher = load_run(run_folder)[1].faces.audio_encoder
    before = explained(teacher, lessons)
    settings = options(run_folder, prepared, tmp_path / "out", max_steps=150)
    student = teach(teacher, lessons, lessons, config, settings, lambda _: None)
    assert explained(student, lessons) > max(before, 0) + 0.3
    assert explained(teacher, lessons) == before, "the teacher must not change"


def test_the_lips_layer_learns_what_the_sound_leaves() -> None:
    torch.manual_seed(0)
    decoder = StyleDecoder(8).requires_grad_(False)
    values = torch.zeros(400, 16)
    values[:, 12:] = torch.randn(400, 4)
    e = torch.randn(400, 8)
    target = e + values[:, 12:] @ torch.randn(4, 8)
    lessons = Lessons(np.zeros((1, 400, 80, 29), np.float16), values, target)
    fitted = fit_lips(decoder, lessons, e, 0)
    assert share(e + d_lips(fitted, values) - target, target) > 0.95
    assert share(e + d_lips(decoder, values) - target, target) < 0.7
    base = torch.randn(3, 16)
    base[:, 12:] = 0
    torch.testing.assert_close(fitted(base), decoder(base))


def test_perturbing_keeps_the_original(run_folder: Path) -> None:
    mels: NDArray[np.float16] = np.random.default_rng(0).normal(size=(50, 80, 29)).astype(np.float16)
    kept = mels.copy()
    out = perturbed(mels, np.random.default_rng(1))
    np.testing.assert_array_equal(mels, kept)
    assert out.shape == mels.shape
    assert np.abs(out - mels).reshape(50, -1).max(1).min() > 0
    hidden = (out == 0).mean(axis=(1, 2))
    assert 0.3 < (hidden > 0.02).mean() < 0.7


def test_what_comes_out_is_a_run(run_folder: Path, prepared: Path, tmp_path: Path, features: FeatureNetworks) -> None:
    said: list[str] = []
    out = train_audio(options(run_folder, prepared, tmp_path / "taught"), log=said.append)
    assert any("held-out" in line for line in said)
    assert not (out / "mels.npy").exists()
    config, taught, persons = load_run(out)
    _, source, _ = load_run(run_folder)
    audio = [torch.equal(a, b) for a, b in pairs(taught.faces.audio_encoder, source.faces.audio_encoder)]
    assert not all(audio)
    assert all(torch.equal(a, b) for a, b in pairs(taught.faces.generator, source.faces.generator))
    assert all(torch.equal(a, b) for a, b in pairs(taught.faces.style_decoder.base, source.faces.style_decoder.base))
    export_run(ExportOptions(run=out, data=prepared, out=tmp_path / "weights", person=persons[0]))
    # A run goes on from it, E_audio held back by its own rate.
    train = dataclasses.replace(config.train, steps=1, lr_audio=1e-7, warmup_steps=0)
    run = open_run(dataclasses.replace(config, train=train), prepared, tmp_path / "next", features, World(), init=out)
    before = [p.detach().clone() for p in run.state.networks.audio_parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, taught.faces.audio_encoder.parameters(), strict=True))
    run.train()
    after = [p.detach() for p in run.state.networks.audio_parameters()]
    moved = [float((a - b).abs().max()) for a, b in zip(before, after, strict=True)]
    assert 0 < max(moved) < 1e-6


def pairs(a: torch.nn.Module, b: torch.nn.Module) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return list(zip(a.parameters(), b.parameters(), strict=True))


def test_clips_are_read_as_training_reads_them(run_folder: Path, prepared: Path) -> None:
    config, networks, _ = load_run(run_folder)
    record = next(r for r in read_manifest(prepared) if r.has_sound)
    lessons = make_lessons(networks, config, prepared, [record], 0, 0, None)
    expected = networks.quantiser.round(raw_style_values(networks, read_clip(prepared, record)))
    torch.testing.assert_close(lessons.lips[:, 12:], expected[:, 12:])


def test_what_cannot_be_taught_is_said(run_folder: Path, prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is the run itself"):
        train_audio(options(run_folder, prepared, run_folder))
    with pytest.raises(ValueError, match="--minutes, --batch-size and --lr must be above 0"):
        train_audio(options(run_folder, prepared, tmp_path / "out", minutes=0.0))
    with pytest.raises(ValueError, match=r"no clip of .* is named as GRID names its sentences"):
        train_audio(options(run_folder, prepared, tmp_path / "out", synthetic_voices=1))
    with pytest.raises(WeightsError, match="holds no finished checkpoint"):
        train_audio(options(tmp_path / "nothing", prepared, tmp_path / "out"))


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed; .ci/run installs it")
def test_synthetic_voices_are_lessons_of_their_own(run_folder: Path, prepared: Path, tmp_path: Path) -> None:
    config, networks, _ = load_run(run_folder)
    record = next(r for r in read_manifest(prepared) if r.has_sound)
    folder = tmp_path / "named"
    folder.mkdir()
    named = dataclasses.replace(record, name="bbaf2n")
    write_clip(folder, named, read_clip(prepared, record), np.ones(record.num_frames, bool))
    known = make_lessons(networks, config, folder, [named], 1, 1, None)
    assert len(known.mels) == 3
    assert np.abs(known.mels[2] - known.mels[0]).mean() > 0.1
    unknown = make_lessons(networks, config, prepared, [record], 1, 1, None)
    np.testing.assert_array_equal(unknown.mels[2], unknown.mels[0])


def test_too_little_sound_is_said(run_folder: Path, prepared: Path, tmp_path: Path) -> None:
    records = [r for r in read_manifest(prepared) if r.split == "train"][:2]
    folder = tmp_path / "few"
    folder.mkdir()
    write_manifest(folder, [dataclasses.replace(r, has_sound=False) for r in records])
    with pytest.raises(ValueError, match="holds no clip with sound"):
        train_audio(options(run_folder, folder, tmp_path / "out"))
    write_manifest(folder, [dataclasses.replace(r, has_sound=True) for r in records])
    with pytest.raises(ValueError, match="too few clips with sound"):
        train_audio(options(run_folder, folder, tmp_path / "out"))
