"""Export a run, evaluate it through the interface that a call uses, and print the paper's tables from the reports."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from talkface_core.errors import WeightsError
from talkface_core.face.model import load_face_model
from talkface_core.style.track import StyleTrack
from talkface_core.tracking.landmarks import LandmarkNet
from training.config import TrainConfig
from training.data.clip_format import read_clip, read_manifest
from training.data.clip_store import resize_frames
from training.distributed import World
from training.evaluate.ablation import read_report, table_one, table_two
from training.evaluate.clip import (
    draw_clip,
)
from training.evaluate.faces import FaceOptions, Whose
from training.evaluate.run import EvaluateOptions, choose_records, evaluate, write_report
from training.evaluate.through_wire import WireSettings
from training.export import ExportOptions, export_run, load_run
from training.likeness.tuning import TuningConfig
from training.loop import open_run
from training.loss.feature_networks import FeatureNetworks
from training.mode import Mode
from training.reconstruct import reconstruct_clip

WIRE = WireSettings.of("default", 8000, 60, Fraction(25, 3))


@pytest.fixture(scope="module")
def landmarks() -> LandmarkNet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LandmarkNet().eval()


@pytest.fixture
def run_folder(tiny_config: TrainConfig, prepared: Path, tmp_path: Path, features: FeatureNetworks) -> Path:
    config = dataclasses.replace(tiny_config, train=dataclasses.replace(tiny_config.train, steps=2))
    open_run(config, prepared, tmp_path / "run", features, World()).train()
    return tmp_path / "run"


def test_an_exported_run_draws_what_the_run_draws(run_folder: Path, prepared: Path, tmp_path: Path) -> None:
    export_run(ExportOptions(run=run_folder, data=prepared, out=tmp_path / "weights", person="person0"))
    model = load_face_model(tmp_path / "weights")
    track = StyleTrack.load(tmp_path / "weights" / "style_track.safetensors")
    assert track.values.shape[1] == 16
    _, networks, persons = load_run(run_folder)
    clip = read_clip(prepared, read_manifest(prepared)[0])
    small = dataclasses.replace(
        clip, frames=np.ascontiguousarray(clip.frames[:3, ::2, ::2]), points=clip.points[:3] / 2
    )
    renderer = model.renderer(model.default_identity(), runtime="torch-cpu")
    drawn = draw_clip(renderer, model, small, Mode.AUDIO, wire=None)
    own = reconstruct_clip(networks, small, persons.index("person0"), Mode.AUDIO)
    # Weights are stored in half precision.
    assert np.abs(drawn.astype(int) - own).max() <= 3


def test_evaluating_reports_every_column_or_why_not(
    run_folder: Path, prepared: Path, tmp_path: Path, landmarks: LandmarkNet
) -> None:
    export_run(ExportOptions(run=run_folder, data=prepared, out=tmp_path / "weights"))
    model = load_face_model(tmp_path / "weights")
    options = EvaluateOptions(
        data=prepared, wire=WIRE, max_clips=2, runtime="torch-cpu", pictures=tmp_path / "pictures", num_videos=1
    )
    lines: list[str] = []
    report = evaluate(model, None, options, log=lines.append, landmarks=landmarks)
    assert report["num_clips"] == 2
    assert set(report["modes"]) == {"live", "audio", "reference"}
    live = report["modes"]["live"]
    for name in ("ssim", "psnr_db", "lmd_mouth", "lmd_face", "sharpness_face", "fd_own", "style_total_kbps"):
        assert isinstance(live[name], float), name
    for name in ("lse_d", "fid", "ms_ssim", "identity_similarity"):
        assert live[name] is None
        assert report["missing"][name]
    assert 0 < live["style_total_kbps"] < 5
    assert live["style_base_kbps"] + live["style_lips_kbps"] == pytest.approx(live["style_total_kbps"])
    assert "style_total_kbps" not in report["modes"]["audio"]
    assert (tmp_path / "pictures" / "contact_sheet.png").stat().st_size > 0
    assert len(list((tmp_path / "pictures").glob("*.mp4"))) == 1
    write_report(tmp_path / "r.json", report)
    text = table_one(read_report(tmp_path / "r.json"))
    assert "SSIM↑" in text
    assert "fid is missing: FID needs the Inception weights" in text
    assert all(name in text for name in ("closure↑", "motion r↑", "LMD/eyes↓"))
    assert report["missing"]["closure"].startswith("the clip's name does not spell a GRID sentence")
    assert table_two({"baseline": report, "videoref": report}).count("\n") == 2


def test_two_runs_are_exported_as_one(
    run_folder: Path, tiny_config: TrainConfig, prepared: Path, tmp_path: Path, features: FeatureNetworks
) -> None:
    longer = dataclasses.replace(tiny_config, train=dataclasses.replace(tiny_config.train, steps=4))
    open_run(longer, prepared, tmp_path / "later", features, World(), run_folder).train()
    options = ExportOptions(run=tmp_path / "later", data=prepared, out=tmp_path / "weights", blend=run_folder)
    export_run(dataclasses.replace(options, blend_share=0.25))
    constants = [load_run(folder)[1].faces.generator.synthesis.constant for folder in (tmp_path / "later", run_folder)]
    assert not torch.equal(*constants)
    blended = load_face_model(tmp_path / "weights").weights.networks.generator.synthesis.constant
    torch.testing.assert_close(blended, constants[0] * 0.75 + constants[1] * 0.25, rtol=2e-3, atol=1e-3)
    with pytest.raises(ValueError, match="blend-share must be 0 to 1, not 2"):
        export_run(dataclasses.replace(options, blend_share=2))
    wider = dataclasses.replace(tiny_config, model=dataclasses.replace(tiny_config.model, identity="encoder"))
    open_run(wider, prepared, tmp_path / "other", features, World()).save()
    with pytest.raises(ValueError, match="another model or other persons than"):
        export_run(dataclasses.replace(options, blend=tmp_path / "other"))


def test_every_clip_gets_its_own_face(
    tiny_config: TrainConfig, prepared: Path, tmp_path: Path, features: FeatureNetworks, landmarks: LandmarkNet
) -> None:
    many = dataclasses.replace(tiny_config, model=dataclasses.replace(tiny_config.model, identity="encoder"))
    run = open_run(many, prepared, tmp_path / "run", features, World())
    encoder = run.state.ema.identities.encoder
    assert encoder is not None
    torch.nn.init.normal_(encoder.out.weight, std=30.0)
    run.save()
    export_run(ExportOptions(run=tmp_path / "run", data=prepared, out=tmp_path / "weights"))
    model = load_face_model(tmp_path / "weights")
    options = EvaluateOptions(data=prepared, modes=(Mode.AUDIO,), max_clips=2, runtime="torch-cpu", split="train")
    of_each = dataclasses.replace(options, faces=FaceOptions(whose=Whose.OWN))
    own = evaluate(model, None, of_each, log=lambda _: None, landmarks=landmarks)
    assert own["identity"] == "own"
    share = own["modes"]["audio"]["recognised"]
    assert (share is None) == (len({r.person for r in choose_records(read_manifest(prepared), "train", 2)}) < 2)
    assert ("nearest to a true face of their own person" in table_one(own)) == (share is not None)
    records = choose_records(read_manifest(prepared), "train", 2)
    one = []
    for record in records:
        first = resize_frames(read_clip(prepared, record).frames[:1], model.info.resolution_px)[0]
        result = evaluate(model, model.encode_portrait(first), options, log=lambda _: None, landmarks=landmarks)
        one.append(next(c["psnr_db"] for c in result["clips"] if c["clip"] == record.name))
    assert [c["psnr_db"] for c in own["clips"]] == pytest.approx(one)
    one_person = load_face_model("tiny")
    with pytest.raises(WeightsError, match="no image encoder"):
        evaluate(one_person, None, of_each, log=lambda _: None)


def test_tuned_faces_come_nearer_to_their_clips(
    tiny_config: TrainConfig, prepared: Path, tmp_path: Path, features: FeatureNetworks, landmarks: LandmarkNet
) -> None:
    many = dataclasses.replace(tiny_config, model=dataclasses.replace(tiny_config.model, identity="encoder"))
    open_run(many, prepared, tmp_path / "run", features, World()).save()
    export_run(ExportOptions(run=tmp_path / "run", data=prepared, out=tmp_path / "weights"))
    model = load_face_model(tmp_path / "weights")
    options = EvaluateOptions(data=prepared, modes=(Mode.AUDIO,), max_clips=1, runtime="torch-cpu", split="train")
    speech = np.random.default_rng(0).normal(0, 4000, 16_000).clip(-32768, 32767).astype(np.int16)
    lines: list[str] = []

    def error(whose: Whose) -> float:
        faces = FaceOptions(whose=whose, tuning=TuningConfig(seconds=600, max_steps=12), speech=speech)
        result = evaluate(model, None, dataclasses.replace(options, faces=faces), log=lines.append, landmarks=landmarks)
        assert result["identity"] == str(whose)
        return float(result["modes"]["audio"]["psnr_db"])

    assert error(Whose.TUNED) > error(Whose.OWN) + 0.5
    assert any("tuned in 12 steps" in line for line in lines)


def test_tuning_without_speech_is_refused() -> None:
    with pytest.raises(ValueError, match="need speech that lips must still follow"):
        FaceOptions(whose=Whose.TUNED)
