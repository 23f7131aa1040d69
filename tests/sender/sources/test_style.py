"""Style from nothing and from a track."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from sender.sources.style import NoStyle, ReferenceStyle
from talkface_core.style.track import StyleTrack


def test_no_style_has_no_values() -> None:
    style = NoStyle()
    style.start()
    assert style.values_at(0) is None
    assert style.stats() is None
    style.stop()


def test_a_track_is_played_back_and_forth_without_jumps() -> None:
    values = np.cumsum(np.random.default_rng(0).normal(size=(50, 16)) * 0.1, axis=0).astype(np.float32)
    style = ReferenceStyle(StyleTrack(values, Fraction(25)))
    style.start()
    for frame, same_as in ((7, 7), (49 + 10, 39), (98 + 3, 3)):
        np.testing.assert_allclose(np.asarray(style.values_at(1920 * frame)), values[same_as], atol=1e-5)
    steps = np.array([style.values_at(960 * k) for k in range(1000)])
    assert np.abs(np.diff(steps, axis=0)).max() <= np.abs(np.diff(values, axis=0)).max() / 2 + 1e-5
    assert style.stats() is None
    style.stop()


def test_a_track_of_one_vector_stands_still() -> None:
    style = ReferenceStyle(StyleTrack(np.ones((1, 16), np.float32), Fraction(25)))
    np.testing.assert_array_equal(style.values_at(123_456), np.ones(16, np.float32))
