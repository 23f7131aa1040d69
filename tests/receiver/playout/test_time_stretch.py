"""Stretched speech keeps its pitch, its ends and its level."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from receiver.playout.time_stretch import MAX_LAG, MIN_LAG, lengthen, shorten


def tone(hz: float, samples: int = 2880) -> NDArray[np.int16]:
    return np.asarray(8000 * np.sin(2 * np.pi * hz * np.arange(samples) / 48_000), dtype=np.int16)


def crossings(pcm: NDArray[np.int16]) -> int:
    return int(np.sum((pcm[:-1] < 0) & (pcm[1:] >= 0)))


@pytest.mark.parametrize("hz", [100.0, 160.0, 220.0, 350.0])
def test_whole_periods_go_and_the_pitch_stays(hz: float) -> None:
    pcm = tone(hz)
    period = 48_000 / hz
    for changed, sign in ((shorten(pcm, MAX_LAG), -1), (lengthen(pcm, MAX_LAG), 1)):
        step = sign * (changed.shape[0] - pcm.shape[0])
        assert MIN_LAG <= step <= MAX_LAG
        assert min(step % period, period - step % period) <= 4  # the search is 4 samples coarse
        expected = changed.shape[0] / period
        assert abs(crossings(changed) - expected) <= 1.1
        jump = np.abs(np.diff(changed.astype(np.int32))).max()
        assert jump <= 1.3 * np.abs(np.diff(pcm.astype(np.int32))).max()


def test_ends_stay_so_that_packets_join() -> None:
    pcm = tone(160.0)
    for changed in (shorten(pcm, MAX_LAG), lengthen(pcm, MAX_LAG)):
        assert changed[0] == pcm[0]
        np.testing.assert_array_equal(changed[-400:], pcm[-400:])


def test_noise_is_cut_only_when_forced() -> None:
    noise = np.random.default_rng(1).integers(-8000, 8000, 1440).astype(np.int16)
    assert shorten(noise, MAX_LAG) is noise
    assert shorten(noise, MAX_LAG, force=True).shape[0] < noise.shape[0]
    assert lengthen(noise, MAX_LAG, force=True).shape[0] > noise.shape[0]


def test_quiet_sound_is_cut_by_as_much_as_is_asked_for() -> None:
    quiet = np.random.default_rng(1).integers(-20, 20, 2880).astype(np.int16)
    assert quiet.shape[0] - shorten(quiet, 500).shape[0] == 500


@pytest.mark.parametrize(("samples", "budget"), [(100, 720), (2880, 50), (0, 720)])
def test_nothing_happens_without_room(samples: int, budget: int) -> None:
    pcm = tone(160.0, samples)
    assert shorten(pcm, budget) is pcm
    assert lengthen(pcm, budget) is pcm
