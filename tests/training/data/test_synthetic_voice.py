"""Synthetic voices say a clip's sentence in step with the clip."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from talkface_core.sound.mel import MelWindow
from training.config import AudioSection
from training.data.espeak import NoSynthesiserError, synthesise
from training.data.sampler import audio_window
from training.data.synthetic_voice import grid_sentence, synthetic_mels, time_warp

needs_espeak = pytest.mark.skipif(
    shutil.which("espeak-ng") is None, reason="espeak-ng is not installed; .ci/run installs it"
)


def test_names_spell_sentences() -> None:
    assert grid_sentence("bbaf2n") == "bin blue at f two now"
    assert grid_sentence("s1/swwzzs") == "set white with z zero soon"
    assert grid_sentence("lrba9a") == "lay red by ay nine again"
    for other in ("clip0", "bbaf2", "xbaf2n", "bbaf0n", ""):
        assert grid_sentence(other) is None


def test_time_warp_finds_where_each_sound_went() -> None:
    rng = np.random.default_rng(0)
    sounds = rng.normal(size=(12, 13)).astype(np.float32)
    lengths = rng.integers(8, 24, 12)
    slower = (lengths * rng.uniform(0.7, 1.6, 12)).round().astype(int)

    def utterance(counts: NDArray[np.int64], quiet: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        silence = np.full((quiet, 13), -2, np.float32)
        rows = np.concatenate([silence, np.repeat(sounds, counts, axis=0), silence])
        starts = quiet + np.cumsum([0, *counts[:-1]])
        return rows + rng.normal(0, 0.1, rows.shape).astype(np.float32), starts + counts / 2

    own, own_middles = utterance(lengths, 60)
    other, other_middles = utterance(slower, 20)
    path = time_warp(own, other)
    assert path.shape == (len(own),)
    assert (np.diff(path) >= 0).all()
    assert np.abs(path[own_middles.astype(int)] - other_middles).max() < 4


@needs_espeak
def test_another_voice_is_in_step() -> None:
    """One synthetic voice stands for the clip: the other one's loud and silent moments must be its own."""
    sentence = grid_sentence("pgwt4a")
    assert sentence is not None
    spoken = synthesise(sentence, 16_000, voice="en-gb+m3", options=["-s", "110"])
    clip = np.zeros(48_000, np.float32)
    clip[9_000 : 9_000 + min(len(spoken), 36_000)] = spoken[:36_000]
    samples = (clip * 32767).astype(np.int16)
    mels = synthetic_mels(samples, sentence, AudioSection(), np.random.default_rng(3), 75)
    assert mels.shape == (75, 80, 29)
    assert np.isfinite(mels).all()
    windows = np.stack([audio_window(samples, t) for t in range(75)]).astype(np.float32) / 32768
    own = MelWindow()(torch.from_numpy(windows))[:, 0].numpy()
    outside = own[0, :, 0]  # before the clip
    np.testing.assert_allclose(mels[0, :, 0], outside, atol=1e-5)
    loudness = [m[:, :, 14].mean(1)[10:65] for m in (own, mels)]
    assert np.corrcoef(*loudness)[0, 1] > 0.7
    assert np.abs(own - mels).mean() > 0.2, "the same voice"


def test_without_espeak_the_fix_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NoSynthesiserError, match="apt-get install espeak-ng"):
        synthesise("now", 16_000, voice="en-gb")


@needs_espeak
def test_a_voice_that_is_not_there_is_named() -> None:
    with pytest.raises(NoSynthesiserError, match="voice klingonish"):
        synthesise("now", 16_000, voice="klingonish")
