"""Export a run, evaluate it through the interface that a call uses, and print the paper's tables from the reports."""

from __future__ import annotations

import dataclasses
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from talkface_core.errors import WeightsError
from talkface_core.face.model import load_face_model
from talkface_core.judges.face_recognition import load_face_recogniser
from talkface_core.style.track import StyleTrack
from talkface_core.tracking.landmarks import LandmarkNet
from training.config import TrainConfig
from training.data.clip_format import read_clip, read_manifest
from training.data.clip_store import resize_frames, spread
from training.distributed import World
from training.evaluate.ablation import ReportError, read_report, table_one, table_two
from training.evaluate.clip import (
    Judges,
    Measured,
    clip_style,
    draw_clip,
    fit_length,
    listen_to,
    look_at,
    measure_clip,
)
from training.evaluate.faces import FaceOptions, Whose
from training.evaluate.landmark_judge import find_points
from training.evaluate.likeness_judge import load_likeness_judge
from training.evaluate.mode_sums import closure_of_all
from training.evaluate.run import EvaluateOptions, choose_records, evaluate, write_report
from training.evaluate.through_wire import WireSettings, sound_through_opus, style_through_codec
from training.export import ExportOptions, export_run, load_run
from training.likeness.tuning import TuningConfig
from training.loop import open_run
from training.loss.feature_networks import FeatureNetworks
from training.metrics import StyleBits, Unavailable
from training.mode import Mode
from training.reconstruct import raw_style_values, reconstruct_clip

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
    assert report["trained_against"] == ["landmarks", "lip_expert"]
    for name in ("identity_similarity", "recogniser_distance", "efficientnet_similarity", "fd_efficientnet"):
        assert isinstance(live[name], float), name
    for name in ("lse_d", "fid", "ms_ssim"):
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
    assert all(name in text for name in ("closure↑", "motion r↑", "LMD/eyes↓", "identity↑", "FD-eff↓"))
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
        assert (result["modes"]["audio"]["identity_similarity"] is None) == (whose is Whose.TUNED)
        assert ("face_recognition" in result["trained_against"]) == (whose is Whose.TUNED)
        return float(result["modes"]["audio"]["psnr_db"])

    assert error(Whose.TUNED) > error(Whose.OWN) + 0.5
    assert any("tuned in 12 steps" in line for line in lines)


def test_tuning_without_speech_is_refused() -> None:
    with pytest.raises(ValueError, match="need speech that lips must still follow"):
        FaceOptions(whose=Whose.TUNED)


def test_clips_to_look_at_are_far_apart() -> None:
    assert spread(10, 3) == {1, 5, 8}
    assert spread(2, 3) == {0, 1}
    assert spread(40, 0) == set()
    assert all(len(spread(n, 3)) == min(n, 3) and max(spread(n, 3)) < n for n in range(1, 30))


def test_sound_through_the_wire_is_opus_and_style_is_interpolated() -> None:
    model = load_face_model("tiny")
    t = np.arange(16_000) / 16_000
    sound = (np.sin(2 * np.pi * 220 * t) * 8000).astype(np.int16)
    heard = sound_through_opus(sound, WIRE)
    assert heard.shape == sound.shape
    shifts = [np.corrcoef(sound[4000:12000], heard[4000 + s : 12000 + s])[0, 1] for s in range(160)]
    assert max(shifts) > 0.95
    values = np.cumsum(np.random.default_rng(0).normal(size=(50, 16)) * 0.1, axis=0).astype(np.float32)
    bits = StyleBits()
    decoded = style_through_codec(model, values, WIRE, bits)
    assert decoded.shape == values.shape
    blocks = np.arange(0, 50, 3)
    # At a block's own frame the error is the quantiser's: at most 0.62 steps of half a sigma.
    assert np.abs(decoded[blocks] - values[blocks]).max() <= 0.32
    np.testing.assert_allclose(decoded[1], decoded[0] * 2 / 3 + decoded[3] / 3, atol=1e-5)
    assert bits.seconds == pytest.approx(2.0)
    without = StyleBits()
    base = style_through_codec(model, values, WIRE, without, with_lips=False)
    assert not base[:, 12:].any()
    np.testing.assert_array_equal(base[:, :12], decoded[:, :12])
    assert without.kbps()["lips"] == 0 < bits.kbps()["lips"]


def test_a_quick_movement_is_sent_between_two_blocks() -> None:
    model = load_face_model("tiny")
    values = np.zeros((31, 16), np.float32)
    values[13] = 1.0  # one frame, in the packet between the blocks of frames 12 and 15
    decoded = style_through_codec(model, values, WIRE)
    # Packets end on frames 12, 13.5 and 15.
    assert decoded[13:15].min() > 0.4
    assert np.abs(decoded[[12, 15]]).max() < 0.32
    slow = WireSettings.of("minimum", 6000, 120, Fraction(25, 3))
    assert np.abs(style_through_codec(model, values, slow)).max() < 0.32


def test_swapped_sound_is_measured_against_the_clip_it_comes_from(
    run_folder: Path, prepared: Path, tmp_path: Path, landmarks: LandmarkNet
) -> None:
    export_run(ExportOptions(run=run_folder, data=prepared, out=tmp_path / "weights"))
    model = load_face_model(tmp_path / "weights")
    judges = Judges(
        lambda f: find_points(landmarks, f), Unavailable("none"), Unavailable("none"), load_likeness_judge()
    )
    shown, second = (read_clip(prepared, record) for record in read_manifest(prepared)[:2])
    truth, heard = look_at(model, shown, judges), listen_to(model, second, judges)
    # The second clip itself stands for a perfect drawing of its sound.
    drawn = resize_frames(second.frames, model.info.resolution_px)
    measured = measure_clip(truth, drawn, judges, heard).values
    assert measured["mouth_follows_sound"] == pytest.approx(1.0)
    assert measured["mouth_follows_picture"] != pytest.approx(1.0)
    assert measured["blinks_per_minute"] is not None
    own = measure_clip(truth, resize_frames(shown.frames, model.info.resolution_px), judges).values
    assert own["lmd_mouth_over_eyes"] == own["lmd_mouth_warped"] == own["silence_leak"] == 0
    for name in ("amplitude_mouth", "amplitude_eyes", "motion_correlation", "motion_scale"):
        assert own[name] is None or own[name] == pytest.approx(1.0), name
    assert own["mouth_follows_sound"] == own["mouth_follows_picture"] == pytest.approx(1.0)
    report = evaluate(
        model,
        None,
        EvaluateOptions(data=prepared, modes=(Mode.SWAPPED,), max_clips=1, runtime="torch-cpu", wire=WIRE),
        log=lambda _: None,
        landmarks=landmarks,
    )
    assert report["modes"]["swapped"]["style_lips_kbps"] == 0
    # What is null has a reason, and nothing else has one.
    assert {n for n, value in report["modes"]["swapped"].items() if value is None} == set(report["missing"])


def test_style_of_another_clip_is_stretched_without_jumps() -> None:
    track = np.arange(5, dtype=np.float32)[:, None].repeat(16, 1)
    longer = fit_length(track, 12)[:, 0]
    assert longer.tolist() == [0, 1, 2, 3, 4, 3, 2, 1, 0, 1, 2, 3]


def test_style_follows_the_stored_points(prepared: Path) -> None:
    model = load_face_model("tiny")
    clip = read_clip(prepared, read_manifest(prepared)[0])
    values = clip_style(model, clip)
    assert values.shape == (len(clip.frames), 16)
    np.testing.assert_array_equal(values, clip_style(model, clip))


def test_style_of_a_prepared_clip_is_what_training_sees(run_folder: Path, prepared: Path, tmp_path: Path) -> None:
    """A crop is not cut a second time: that moved the drawn face away from the one it is compared with."""
    export_run(ExportOptions(run=run_folder, data=prepared, out=tmp_path / "weights"))
    model = load_face_model(tmp_path / "weights")
    _, networks, _ = load_run(run_folder)
    clip = read_clip(prepared, read_manifest(prepared)[0])
    factor = 256 / clip.frames.shape[1]
    full = dataclasses.replace(clip, frames=resize_frames(clip.frames, 256), points=clip.points * factor)
    expected = raw_style_values(networks, full) / model.weights.networks.style_scale
    np.testing.assert_allclose(clip_style(model, full), expected.numpy(), atol=0.05)


def test_a_camera_finds_its_own_crop(prepared: Path, landmarks: LandmarkNet) -> None:
    model = load_face_model("tiny")
    modes = (Mode.LIVE, Mode.CAMERA)
    options = EvaluateOptions(data=prepared, modes=modes, max_clips=1, runtime="torch-cpu", wire=WIRE)
    report = evaluate(model, None, options, log=lambda _: None, landmarks=landmarks)
    live, camera = (report["modes"][str(m)] for m in modes)
    assert camera["style_lips_kbps"] > 0
    assert camera["psnr_db"] != live["psnr_db"]


def test_what_cannot_be_evaluated_is_said(prepared: Path, tmp_path: Path) -> None:
    records = read_manifest(prepared)
    assert {r.split for r in choose_records(records, None, 0)} == {"val"}
    assert len(choose_records(records, "train", 3)) == 3
    with pytest.raises(ValueError, match="no clip of split 'x' to evaluate; there are train, val"):
        choose_records(records, "x", 0)
    with pytest.raises(WeightsError, match="holds no finished checkpoint"):
        load_run(tmp_path)
    (tmp_path / "r.json").write_text("[]")
    with pytest.raises(ReportError, match="not a report of talkface evaluate"):
        read_report(tmp_path / "r.json")
    with pytest.raises(ReportError, match="not a readable report"):
        read_report(tmp_path / "gone.json")
    with pytest.raises(ReportError, match="needs a baseline"):
        table_two({})
    with pytest.raises(ReportError, match="no mode 'live'"):
        table_two({"baseline": {"modes": {}}})


def test_table_two_is_the_papers(tmp_path: Path) -> None:
    def report(ssim: float) -> dict[str, object]:
        values = {"ssim": ssim, "psnr_db": 25.7, "lmd_mouth": 1.28, "lse_d": None, "fid": 28.35}
        return {"modes": {"live": values}}

    text = table_two({"baseline": report(0.85), "lipsync": report(0.67), "videoref": report(0.71)})
    rows = [line.split() for line in text.splitlines()]
    assert rows[1] == ["Baseline", "0.850", "25.700", "1.280", "-", "28.350", "-", "-"]
    assert rows[2][:3] == ["w/o", "LipSync", "0.670"]
    assert rows[3][:3] == ["w/o", "VideoRef", "0.710"]
    assert json.loads(json.dumps(report(0.1)))


def test_closure_is_a_share_of_sounds_not_of_clips() -> None:
    clips = [Measured({"closure": 1.0, "closure_sounds": 1.0}), Measured({"closure": 0.25, "closure_sounds": 4.0})]
    nothing = Measured({"closure": None, "closure_sounds": 0.0})
    assert closure_of_all([*clips, nothing]) == {"closure": pytest.approx(0.4), "closure_sounds": 5.0}
    assert closure_of_all([nothing]) == {"closure": None, "closure_sounds": 0.0}
    elsewhere = Measured({"closure": None, "closure_sounds": None})
    assert closure_of_all([elsewhere]) == {"closure": None, "closure_sounds": None}


def test_what_was_a_loss_is_no_judge(
    tiny_config: TrainConfig, prepared: Path, tmp_path: Path, features: FeatureNetworks, landmarks: LandmarkNet
) -> None:
    """The weights say what they were trained against, and what starts from them inherits it."""
    judged = dataclasses.replace(
        tiny_config, loss=dataclasses.replace(tiny_config.loss, identity=0.5, sync=0.0, contrastive=0.0, perceptual=0.0)
    )
    recogniser = dataclasses.replace(features, perceptual=None, lip_expert=None, recogniser=load_face_recogniser())
    open_run(judged, prepared, tmp_path / "first", recogniser, World()).save()
    export_run(ExportOptions(run=tmp_path / "first", data=prepared, out=tmp_path / "weights"))
    assert load_face_model(tmp_path / "weights").weights.trained_against == ("face_recognition",)
    later = dataclasses.replace(
        judged,
        loss=dataclasses.replace(judged.loss, identity=0.0, perceptual=1.0, perceptual_backend="efficientnet_lite0"),
    )
    open_run(later, prepared, tmp_path / "second", features, World(), tmp_path / "weights").save()
    export_run(ExportOptions(run=tmp_path / "second", data=prepared, out=tmp_path / "both"))
    model = load_face_model(tmp_path / "both")
    assert model.weights.trained_against == ("efficientnet_lite0", "face_recognition")
    options = EvaluateOptions(data=prepared, modes=(Mode.AUDIO,), max_clips=2, runtime="torch-cpu", split="train")
    report = evaluate(model, None, options, log=lambda _: None, landmarks=landmarks)
    values = report["modes"]["audio"]
    for name in ("identity_similarity", "recognised", "efficientnet_similarity", "fd_efficientnet"):
        assert values[name] is None
        assert "was a loss of these weights" in report["missing"][name]
    assert values["recogniser_distance"] > 0
