"""Changed voices: pitch and formants move as asked, time does not, and Opus is the real codec."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.config import AudioSection
from training.data.audio_augment import (
    VoiceCache,
    VoiceChange,
    add_noise,
    apply_voice,
    change_pitch_and_formants,
    draw_voice,
    opus_round_trip,
)

RATE = 16_000


def vowel(pitch_hz: float = 120.0, formant_hz: float = 800.0, seconds: float = 1.0) -> torch.Tensor:
    """A buzz with one resonance."""
    t = torch.arange(int(seconds * RATE)) / RATE
    partials = torch.arange(1, int(7000 / pitch_hz))[:, None]
    gain = 0.03 + 1 / (1 + ((partials * pitch_hz - formant_hz) / 200) ** 2)
    wave = (gain * torch.cos(2 * torch.pi * partials * pitch_hz * t)).sum(0)
    return wave / wave.abs().max() * 0.5


def pitch_of(wave: torch.Tensor) -> float:
    middle = wave[4000:12000] - wave[4000:12000].mean()
    spectrum = torch.fft.rfft(middle, 32768).abs().square()
    correlation = torch.fft.irfft(spectrum)
    lag = int(correlation[40:320].argmax()) + 40
    return RATE / lag


def formant_of(wave: torch.Tensor) -> float:
    """Centre of the energy between 200 and 2000 Hz."""
    power = torch.fft.rfft(wave[2000:14000]).abs().square()
    hz = torch.arange(len(power)) * RATE / 12000
    band = (hz > 200) & (hz < 2000)
    return float((power * hz)[band].sum() / power[band].sum())


@pytest.mark.parametrize("pitch", [0.75, 1.5])
def test_pitch_moves_and_formants_stay(pitch: float) -> None:
    changed = change_pitch_and_formants(vowel(), pitch, 1.0)
    assert changed.shape == vowel().shape
    assert pitch_of(changed) == pytest.approx(120 * pitch, rel=0.04)
    assert formant_of(changed) == pytest.approx(800, abs=40)


def test_formants_move_and_pitch_stays() -> None:
    changed = change_pitch_and_formants(vowel(formant_hz=1200), 1.0, 1.2)
    assert pitch_of(changed) == pytest.approx(120, rel=0.02)
    assert formant_of(changed) == pytest.approx(1.2 * formant_of(vowel(formant_hz=1200)), abs=60)


def test_time_does_not_move() -> None:
    wave = vowel(seconds=2.0)
    wave[: RATE // 2] = 0
    wave[RATE:] = 0
    loud = change_pitch_and_formants(wave, 1.4, 0.9).unfold(0, 320, 320).square().mean(1).sqrt()
    on = (loud > 0.2 * loud.max()).nonzero()[:, 0]
    assert abs(int(on[0]) - 25) <= 1
    assert abs(int(on[-1]) - 49) <= 1


def test_noise_has_the_asked_for_level() -> None:
    wave = vowel()
    noise = add_noise(wave, 15.0, seed=3) - wave
    assert 10 * float(torch.log10(wave.square().mean() / noise.square().mean())) == pytest.approx(15, abs=0.1)
    assert torch.equal(add_noise(wave, 15.0, seed=3), add_noise(wave, 15.0, seed=3))


def test_opus_is_lossy_but_the_same_sound() -> None:
    samples = (vowel().numpy() * 32767).astype(np.int16)
    heard = opus_round_trip(samples, 8000)
    assert heard.shape == samples.shape
    assert not np.array_equal(heard, samples)
    assert pitch_of(torch.from_numpy(heard.astype(np.float32))) == pytest.approx(120, rel=0.02)
    energy = np.square(heard[2000:].astype(float)).mean() / np.square(samples[2000:].astype(float)).mean()
    assert 0.5 < energy < 2


def test_voices_are_the_same_after_a_restart() -> None:
    config = AudioSection(voices=3, own_voice=0.5, opus_bps=(8000,), noise_share=0.5)
    samples = (vowel(seconds=0.5).numpy() * 32767).astype(np.int16)
    first, second = VoiceCache(config, 1), VoiceCache(config, 1)
    for voice in range(4):
        np.testing.assert_array_equal(first.get(5, voice, samples), second.get(5, voice, samples))
    assert first.get(5, 1, samples) is first.get(5, 1, samples)
    assert not np.array_equal(first.get(5, 1, samples), first.get(5, 2, samples))
    chosen = [first.choose(np.random.default_rng(i)) for i in range(300)]
    assert 0.4 < chosen.count(0) / 300 < 0.6
    assert set(chosen) == {0, 1, 2, 3}
    assert VoiceCache(AudioSection(), 0).choose(np.random.default_rng(0)) == 0


def test_no_change_is_no_change() -> None:
    samples = (vowel(seconds=0.2).numpy() * 32767).astype(np.int16)
    assert np.abs(apply_voice(samples, VoiceChange()).astype(int) - samples).max() <= 1
    change = draw_voice(AudioSection(voices=1), np.random.default_rng(0))
    assert change.opus_bps is None
    assert 0.5 <= change.pitch <= 2
