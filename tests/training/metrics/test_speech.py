"""Where somebody speaks: a voice counts, breath does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from voiced_sound import sound

from training.metrics.speech import quiet_frames, speech_span, voice_energy, voiced_frames


def test_energy_is_that_of_the_band() -> None:
    samples = torch.from_numpy(np.random.default_rng(0).normal(size=2 * 640))
    expected = []
    for frame in samples.numpy().reshape(2, 640):
        windowed = frame * np.hanning(640)
        energy = 0.0
        for k in range(321):
            if 80 <= k * 25 <= 900:
                energy += abs(np.sum(windowed * np.exp(-2j * np.pi * k * np.arange(640) / 640))) ** 2
        expected.append(energy)
    assert voice_energy(samples, 2).tolist() == pytest.approx(expected, rel=1e-9)
    assert voice_energy(samples, 3)[2] == 0


def test_breath_is_no_voice_and_a_short_pause_no_end() -> None:
    samples = sound((20, 30), (35, 50), (70, 72), breath=(2, 12))
    assert speech_span(samples, 75) == (20, 50)
    assert set(voiced_frames(samples, 75).nonzero().flatten().tolist()) == {*range(20, 31), *range(35, 51), 70, 71, 72}
    quiet = quiet_frames(samples, 75)
    assert quiet[:17].all()
    assert not quiet[17:54].any()
    assert quiet[54:67].all()


def test_nobody_speaks_in_silence() -> None:
    assert speech_span(torch.zeros(6400), 10) is None
    assert quiet_frames(torch.zeros(6400), 10).all()
