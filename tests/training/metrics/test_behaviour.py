"""What a face does: synthetic landmarks whose mouth, eyes and sound are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from training.metrics.behaviour import (
    blinks_per_minute,
    correlation,
    eye_amplitude,
    eye_opening,
    mouth_amplitude,
    mouth_opening,
    silence_leak,
    silent_frames,
)


def face(mouth: Tensor, eyes: Tensor) -> Tensor:
    """[T, 68, 2] with inner lips `mouth` pixels apart and eyes `eyes` pixels open; 100 px between outer corners."""
    points = torch.zeros(len(mouth), 68, 2)
    points[:, 36, 0], points[:, 39, 0] = 0, 30
    points[:, 42, 0], points[:, 45, 0] = 70, 100
    for top, low in ((37, 41), (38, 40), (43, 47), (44, 46)):
        points[:, top, 1], points[:, low, 1] = -eyes / 2, eyes / 2
    for top, low in ((61, 67), (62, 66), (63, 65)):
        points[:, top, 1], points[:, low, 1] = 60 - mouth / 2, 60 + mouth / 2
    return points


def test_openings_are_shares_and_do_not_depend_on_size_or_place() -> None:
    points = face(torch.tensor([0.0, 10.0, 25.0]), torch.tensor([9.0, 9.0, 3.0]))
    torch.testing.assert_close(mouth_opening(points), torch.tensor([0.0, 0.10, 0.25]))
    torch.testing.assert_close(eye_opening(points), torch.tensor([0.3, 0.3, 0.1]))
    moved = points * 3 + 40
    torch.testing.assert_close(mouth_opening(moved), mouth_opening(points))
    torch.testing.assert_close(eye_opening(moved), eye_opening(points))


def test_blinks_are_counted_and_sleep_is_not() -> None:
    eyes = torch.full((1500,), 9.0)
    for start in (100, 400, 1495):  # the last one ends with the clip
        eyes[start : start + 5] = 2.0
    still = torch.zeros(1500)
    assert blinks_per_minute(face(still, eyes)) == 3
    assert blinks_per_minute(face(still, eyes)[:750]) == 4
    eyes[700:760] = 2.0
    assert blinks_per_minute(face(still, eyes)) == 3
    assert blinks_per_minute(face(still, eyes)[:0]) == 0


def test_correlation_equals_numpy() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=50), rng.normal(size=60)
    expected = np.corrcoef(a, b[:50])[0, 1]
    assert correlation(torch.from_numpy(a), torch.from_numpy(b)) == pytest.approx(expected)
    assert correlation(torch.ones(5), torch.arange(5.0)) is None
    assert correlation(torch.ones(1), torch.ones(1)) is None


def test_silence_keeps_away_from_speech() -> None:
    sound = torch.zeros(20 * 640)
    sound[8 * 640 : 10 * 640] = 1000.0
    sound += torch.randn(len(sound), generator=torch.Generator().manual_seed(0))  # a quiet room
    expected = torch.ones(20, dtype=torch.bool)
    expected[5:13] = False
    assert torch.equal(silent_frames(sound, 20), expected)
    assert silent_frames(torch.zeros(100), 3).all()
    assert not silent_frames(torch.randn(3200), 5).any()


def test_amplitudes_are_ratios_of_percentiles() -> None:
    rng = np.random.default_rng(3)
    mouths, eyes = rng.uniform(0, 30, (2, 200)), 10 - rng.exponential(1.5, (2, 200)).clip(0, 9)
    real, fake = (
        face(torch.from_numpy(m).float(), torch.from_numpy(e).float()) for m, e in zip(mouths, eyes, strict=True)
    )
    wide = [np.percentile(m / 100, 95) for m in mouths]
    assert mouth_amplitude(real, fake) == pytest.approx(wide[1] / wide[0], rel=1e-4)
    shut = [np.percentile(1 - e / np.sort(e)[99], 95) for e in eyes]
    assert eye_amplitude(real, fake) == pytest.approx(shut[1] / shut[0], rel=1e-4)


def test_half_a_blink_and_half_a_word() -> None:
    eyes, mouth = torch.full((100,), 10.0), torch.zeros(100)
    eyes[40:48], mouth[20:60] = 2.0, 20.0
    true = face(mouth, eyes)
    half = face(mouth / 2, 10 - (10 - eyes) / 2)
    assert mouth_amplitude(true, half) == pytest.approx(0.5)
    assert eye_amplitude(true, half) == pytest.approx(0.5)
    assert mouth_amplitude(face(mouth * 0, eyes), true) is None
    assert eye_amplitude(face(mouth, eyes * 0 + 10), true) is None


def test_leak_counts_what_stands_open_or_chatters_in_silence() -> None:
    quiet = torch.zeros(100, dtype=torch.bool)
    quiet[60:] = True
    true = torch.zeros(100)
    true[:50] = 0.2
    hanging, chattering, closed = true.clone(), true.clone(), true.clone()
    hanging[60:] = 0.05
    chattering[60::2] = 0.1
    closed[:50] = 0.1  # what is too narrow in speech leaks nothing
    assert silence_leak(true, hanging, quiet) == pytest.approx(0.25)
    assert silence_leak(true, chattering, quiet) == pytest.approx(0.25)
    assert silence_leak(true, closed, quiet) == 0
    assert silence_leak(true, hanging, quiet & False) is None
    assert silence_leak(true * 0, hanging, quiet) is None
