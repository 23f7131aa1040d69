"""Metrics on networks: Fréchet distance against scipy, FID's Inception, SyncNet's pipeline, our own features."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from talkface_core.errors import WeightsError
from training.metrics.frechet import FeatureStatistics, frechet_distance
from training.metrics.inception import build_fid_inception, load_fid_features
from training.metrics.lip_sync_error import (
    LipSyncScorer,
    load_lip_sync_scorer,
    shifted_distances,
    syncnet_crop,
)
from training.metrics.mfcc import mfcc
from training.metrics.own_features import OwnFeatureScores
from training.metrics.result import Unavailable
from training.metrics.syncnet import SyncNet


def statistics(rows: torch.Tensor) -> FeatureStatistics:
    result = FeatureStatistics()
    for part in rows.split(7):
        result.update(part)
    return result


@pytest.mark.parametrize("count", [200, 10])
def test_frechet_distance_agrees_with_scipy(count: int) -> None:
    linalg = pytest.importorskip("scipy.linalg")
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(16, 16))
    a, b = rng.normal(size=(count, 16)) @ mix, rng.normal(size=(count, 16)) @ mix.T + 0.3
    s1, s2 = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(s1 + s2 - 2 * linalg.sqrtm(s1 @ s2).real)
    got = frechet_distance(statistics(torch.from_numpy(a)), statistics(torch.from_numpy(b)))
    assert got == pytest.approx(expected, rel=1e-4)
    assert frechet_distance(statistics(torch.from_numpy(a)), statistics(torch.from_numpy(a))) == pytest.approx(
        0, abs=1e-4
    )


def test_fid_inception_pools_like_the_original(monkeypatch: pytest.MonkeyPatch) -> None:
    tv = pytest.importorskip("torchvision.models.inception")
    torch.manual_seed(0)
    network = build_fid_inception()
    x = torch.rand(1, 192, 5, 5)
    y = torch.rand(1, 2048, 5, 5)
    got_a, got_e = network.Mixed_5b(x), network.Mixed_7c(y)

    def unpadded_mean(x: torch.Tensor, **_: object) -> torch.Tensor:
        ones = F.avg_pool2d(torch.ones_like(x), 3, 1, 1)
        return original(x, kernel_size=3, stride=1, padding=1) / ones

    original = F.avg_pool2d
    block_a, block_e = tv.InceptionA(192, 32).eval(), tv.InceptionE(2048).eval()
    block_a.load_state_dict(network.Mixed_5b.state_dict())
    block_e.load_state_dict(network.Mixed_7c.state_dict())

    class Patched:
        relu, max_pool2d = staticmethod(F.relu), staticmethod(F.max_pool2d)
        avg_pool2d = staticmethod(unpadded_mean)

    with monkeypatch.context() as patch:
        patch.setattr(tv, "F", Patched)
        torch.testing.assert_close(got_a, block_a(x))
        Patched.avg_pool2d = staticmethod(lambda x, **_: F.max_pool2d(x, 3, 1, 1))
        torch.testing.assert_close(got_e, block_e(y))


def test_fid_features_load_by_path_and_refuse_other_files(tmp_path: Path) -> None:
    assert isinstance(load_fid_features(None), Unavailable)
    bad = tmp_path / "weights.pth"
    torch.save({"not": torch.zeros(1)}, bad)
    with pytest.raises(WeightsError, match=r"weights\.pth: not the FID Inception"):
        load_fid_features(bad)
    network = build_fid_inception()
    good = tmp_path / "good.pth"
    torch.save({**network.state_dict(), "fc.weight": torch.zeros(1008, 2048)}, good)
    features = load_fid_features(good)
    assert not isinstance(features, Unavailable)
    frames = torch.rand(1, 3, 64, 64)
    expected = network(2 * F.interpolate(frames, size=(299, 299), mode="bilinear") - 1)
    torch.testing.assert_close(features(frames), expected)


def slow_mfcc(samples: np.ndarray) -> np.ndarray:
    """The textbook, in loops, with scipy's DCT."""
    dct = pytest.importorskip("scipy.fft").dct
    x = [float(samples[0])] + [float(samples[i]) - 0.97 * float(samples[i - 1]) for i in range(1, len(samples))]
    points = [700 * (10 ** (m / 2595) - 1) for m in np.linspace(0, 2595 * math.log10(1 + 8000 / 700), 28)]
    bins = [math.floor(513 * p / 16000) for p in points]
    rows = []
    for frame in range(1 + math.ceil((len(x) - 400) / 160)):
        window = np.array(x[frame * 160 : frame * 160 + 400])
        power = np.abs(np.fft.rfft(window, 512)) ** 2 / 512
        bands = np.zeros(26)
        for j in range(26):
            for i in range(bins[j], bins[j + 1]):
                bands[j] += power[i] * (i - bins[j]) / (bins[j + 1] - bins[j])
            for i in range(bins[j + 1], bins[j + 2]):
                bands[j] += power[i] * (bins[j + 2] - i) / (bins[j + 2] - bins[j + 1])
        cepstrum = dct(np.log(bands), type=2, norm="ortho")[:13]
        cepstrum *= 1 + 11 * np.sin(np.pi * np.arange(13) / 22)
        cepstrum[0] = math.log(power.sum())
        rows.append(cepstrum)
    return np.array(rows)


def test_mfcc_is_what_syncnet_was_trained_on() -> None:
    samples = (np.random.default_rng(0).normal(size=1600) * 3000).astype(np.int16)
    np.testing.assert_allclose(mfcc(samples), slow_mfcc(samples), rtol=1e-8, atol=1e-8)


def test_shifted_distances_by_loops() -> None:
    lips, audio = torch.rand(6, 4), torch.rand(6, 4)
    got = shifted_distances(lips, audio, 2)
    for k in range(5):
        for i in range(6):
            j = i + k - 2
            other = audio[j] if 0 <= j < 6 else torch.zeros(4)
            assert got[k, i].item() == pytest.approx(float((lips[i] - other).norm()), abs=1e-4)


class FrameNumberSyncNet(SyncNet):
    """Embeds picture and sound by the number that both carry, so that the true offset is known."""

    def embed_lips(self, frames: torch.Tensor) -> torch.Tensor:
        return F.one_hot((frames[:, 0, 0, 0, 0]).round().long(), 64).float()

    def embed_audio(self, mfcc_windows: torch.Tensor) -> torch.Tensor:
        energy = mfcc_windows[:, 0, 0, :4].mean(1)
        return F.one_hot(((energy - 10) * 5).round().long().clamp(0, 63), 64).float()


def test_scorer_finds_the_offset_it_was_given() -> None:
    frames = torch.zeros(50, 3, 224, 224)
    loudness = np.zeros(50)
    rng = np.random.default_rng(0)
    order = rng.permutation(40)
    samples = np.zeros(50 * 640, np.int16)
    for t in range(40):
        loudness[t] = order[t]
        frames[t] = float(order[t])
    noise = rng.normal(size=640)
    noise /= np.sqrt(np.mean(noise**2))
    for t in range(40):
        rows = mfcc((noise * 100).astype(np.int16))[0, 0]
        gain = math.exp((10 + order[t] / 5 - rows) / 2)
        samples[t * 640 : (t + 1) * 640] = noise * 100 * gain
    with torch.no_grad():
        result = LipSyncScorer(FrameNumberSyncNet()).score(frames, samples)
    assert abs(result.offset_frames) <= 1
    assert result.confidence > 0.1
    late = np.concatenate([np.zeros(3 * 640, np.int16), samples[: -3 * 640]])
    with torch.no_grad():
        moved = LipSyncScorer(FrameNumberSyncNet()).score(frames, late)
    assert moved.offset_frames - result.offset_frames == -3


def test_real_syncnet_runs_its_published_shapes(tmp_path: Path) -> None:
    assert isinstance(load_lip_sync_scorer(None), Unavailable)
    path = tmp_path / "syncnet_v2.model"
    torch.save(SyncNet().state_dict(), path)
    scorer = load_lip_sync_scorer(path)
    assert isinstance(scorer, LipSyncScorer)
    crops = syncnet_crop(torch.rand(8, 3, 64, 64), torch.rand(8, 68, 2) * 40 + 10)
    assert crops.shape == (8, 3, 224, 224)
    assert crops.max() > 1
    result = scorer.score(crops, np.ones(8 * 640, np.int16))
    assert math.isfinite(result.distance)
    with pytest.raises(ValueError, match="7 frames"):
        scorer.score(crops[:5], np.ones(8 * 640, np.int16))
    torch.save({"x": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="not the SyncNet weights"):
        load_lip_sync_scorer(path)


def test_own_feature_scores() -> None:
    scores = OwnFeatureScores(lambda x: F.avg_pool2d(x, 8).flatten(1))
    with pytest.raises(ValueError, match="no clip"):
        scores.compute()
    frames = torch.rand(20, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    scores.update(frames, frames)
    same = scores.compute()
    assert same["own_feature_similarity"] == pytest.approx(1)
    assert same["fd_own"] == pytest.approx(0, abs=1e-6)
    scores.update(frames, 1 - frames)
    assert scores.compute()["fd_own"] > same["fd_own"]
