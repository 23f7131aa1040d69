"""What a face does: synthetic landmarks whose mouth, eyes and sound are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from training.metrics.behaviour import (
    blinks_per_minute,
    correlation,
    eye_opening,
    mouth_opening,
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
