"""Training the lip expert and its gate, on drawn clips whose mouths follow their sound."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from talkface_core.sound.mel import MelWindow, frame_window
from training.data.clip_format import ClipRecord, read_manifest, write_manifest
from training.lip_expert.data import SpeechClip, SpeechStretches, load_speech_clips, mel_windows, training_records
from training.lip_expert.gate import clip_offsets, gate
from training.lip_expert.network import LipExpert
from training.lip_expert.train import expert_losses, pick_own_moment, set_reference, train

FRAMES = 60


def speech_clip(seed: int, frames: int = FRAMES) -> tuple[np.ndarray, np.ndarray]:
    """Points [T, 68, 2] and samples [640 T]: noise bursts, and a lower lip that opens with them."""
    rng = np.random.default_rng(seed)
    loud = np.repeat(rng.random(frames // 3 + 1) > 0.5, 3)[:frames].astype(float)
    base = np.random.default_rng(0).uniform(60, 190, (68, 2))
    points = np.repeat(base[None], frames, axis=0)
    points[:, 55:60, 1] += 12 * loud[:, None]
    points[:, 64:68, 1] += 12 * loud[:, None]
    samples = np.repeat(loud, 640) * rng.normal(0, 6000, frames * 640) + rng.normal(0, 10, frames * 640)
    return points.astype(np.float32), samples.astype(np.int16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("speech")
    records = []
    for i in range(8):
        points, samples = speech_clip(i)
        save_file({"points": points, "found": np.ones(FRAMES, np.uint8), "samples": samples}, out / f"c{i}.safetensors")
        records.append(
            ClipRecord(
                name=f"c{i}",
                person="p",
                split="train" if i < 6 else "val",
                num_frames=FRAMES,
                resolution_px=256,
                source=f"c{i}.mp4",
                start_s=0.0,
                has_sound=i != 5,
                av_offset_frames=0.0,
                crop=(0.0, 0.0, 256.0),
            )
        )
    write_manifest(out, records)
    return out


def test_mel_windows_equal_those_of_the_model() -> None:
    samples = torch.from_numpy(speech_clip(1)[1].astype(np.float32) / 32768)
    windows = mel_windows(samples, FRAMES)
    for frame in (0, 7, FRAMES - 1):
        expected = MelWindow()(frame_window(samples, frame)[None])[0, 0]
        torch.testing.assert_close(windows[frame].float(), expected, atol=4e-3, rtol=2e-3)


def test_silent_clips_and_folds_are_left_out(folder: Path) -> None:
    records = read_manifest(folder)
    assert [c.name for c in load_speech_clips(folder, records)] == ["c0", "c1", "c2", "c3", "c4", "c6", "c7"]
    assert [r.name for r in training_records(folder, 0, 2)] == ["c1", "c3", "c5"]
    assert len(training_records(folder, None, 2)) == 6


def test_stretches_have_the_shapes_of_the_expert(folder: Path) -> None:
    source = SpeechStretches(load_speech_clips(folder, read_manifest(folder)), num_frames=20, seed=0)
    points, mel = source.batch(3)
    assert points.shape == (3, 20, 5, 68, 2)
    assert mel.shape == (3, 20, 80, 29)
    with pytest.raises(ValueError, match="no clip with sound"):
        SpeechStretches([], num_frames=20, seed=0)


def test_picking_the_own_moment_equals_a_softmax_by_hand() -> None:
    agreement = torch.randn(1, 6, 6, generator=torch.Generator().manual_seed(0))
    total = 0.0
    for row in range(6):
        allowed = [c for c in range(6) if c == row or abs(c - row) >= 3]
        denominator = sum(math.exp(float(agreement[0, row, c])) for c in allowed)
        total -= math.log(math.exp(float(agreement[0, row, row])) / denominator)
    assert float(pick_own_moment(agreement, None)) == pytest.approx(total / 6, rel=1e-5)


def test_losses_fall_when_lips_and_sound_agree() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(2, 16, 128, generator=torch.Generator().manual_seed(0)), dim=2)
    random = torch.Generator().manual_seed(0)
    good = expert_losses(vectors, vectors, torch.tensor(0.1), random)
    bad = expert_losses(vectors, vectors.roll(4, dims=1), torch.tensor(0.1), random)
    assert all(float(good[name]) < 0.2 < float(bad[name]) for name in good)


def test_reference_makes_features_of_unit_spread(folder: Path) -> None:
    clips = load_speech_clips(folder, read_manifest(folder))
    expert = LipExpert()
    set_reference(expert, clips)
    assert float(expert.lips.reference.abs().max()) < 2
    assert float(expert.lips.scale) > 0


class LoudnessExpert(LipExpert):
    """Knows the truth of the drawn clips: opening and loudness as one-hot vectors."""

    def embed_lips(self, points: torch.Tensor) -> torch.Tensor:
        opening = points[:, 2, 57, 1] - points[:, 2, 51, 1]
        return self._pair(opening > opening.mean())

    def embed_sound(self, mel: torch.Tensor) -> torch.Tensor:
        # Column m is centred 256 m + 512 samples into the window, the frame at sample 6272 + 320.
        level = mel[:, 0, :, 22:26].mean(dim=(1, 2))
        return self._pair(level > level.mean())

    @staticmethod
    def _pair(is_loud: torch.Tensor) -> torch.Tensor:
        return torch.stack([is_loud.float(), 1 - is_loud.float()], dim=1)


def test_gate_passes_for_an_expert_that_knows_and_not_for_one_that_does_not(folder: Path) -> None:
    clips = load_speech_clips(folder, [r for r in read_manifest(folder) if r.split == "val"])
    good = gate(LoudnessExpert(), clips)
    assert good.passed
    assert good.median_offset_frames == 0
    late = [SpeechClip(c.name, c.points, c.mel.roll(5, dims=0)) for c in clips]
    assert not gate(LoudnessExpert(), late).passed
    assert clip_offsets(LoudnessExpert(), late[0])[0] == 5
    with pytest.raises(ValueError, match="has not seen"):
        gate(LoudnessExpert(), [])


def test_training_learns_to_tell_moments_apart(folder: Path) -> None:
    torch.manual_seed(0)
    clips = load_speech_clips(folder, training_records(folder, None, 2))
    expert = LipExpert()
    steps = train(expert, clips, minutes=5, batch=4, num_frames=20, lr=2e-3, seed=0, max_steps=40)
    assert steps == 40
    assert not expert.training
    held_out = load_speech_clips(folder, [r for r in read_manifest(folder) if r.split == "val"])
    clip = held_out[0]
    with torch.no_grad():
        from training.lip_expert.network import lip_windows

        lips, sound = expert.embed_lips(lip_windows(clip.points)), expert.embed_sound(clip.mel.float()[:, None])
    true = (lips * sound).sum(dim=1).mean()
    wrong = torch.stack([(lips * sound.roll(k, dims=0)).sum(dim=1).mean() for k in (5, 8, -6)]).max()
    assert float(true) > float(wrong) + 0.05
