"""Closure on mouths whose sentence, closings and faults are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from voiced_sound import sound

from training.metrics.closure import Closure, closed_below, closure, expected_closings, find_closings
from training.metrics.result import Unavailable

FIRST, LAST = 20, 50
SPEECH = sound((FIRST, LAST))


def mouth(*closings: int, depth: float = 1.0) -> torch.Tensor:
    """[75] an opening that swings around 0.1 in speech and falls to 0 at the given frames by `depth` of the way."""
    frames = np.arange(75)
    opening = 0.01 + 0.09 * ((frames > FIRST - 6) & (frames < LAST + 4)) + 0.01 * np.sin(frames)
    for frame in closings:
        opening -= depth * 0.1 * np.exp(-0.5 * ((frames - frame) / 1.2) ** 2) * (opening > 0.05)
    return torch.from_numpy(opening.clip(0))


@pytest.mark.parametrize(
    ("sentence", "shares"),
    [
        ("bin blue at f two now", [0, 0.2]),
        ("lay green by b nine please", [0.36, 0.42, 0.8]),
        ("place red with m one again", [0, 0.57]),
        ("set white in z six soon", []),
    ],
)
def test_moments_follow_the_grammar(sentence: str, shares: list[float]) -> None:
    assert expected_closings(sentence, 10, 40) == pytest.approx([9 + 30 * s for s in shares])


def test_the_true_lips_say_when() -> None:
    """A closing three frames late is found, one that is ten late is not, and none is used twice."""
    assert find_closings(mouth(22, 40), [19, 25, 30]) == [22]
    assert find_closings(mouth(20, 26), [19, 25]) == [20, 26]
    assert find_closings(mouth(22), [20, 24]) == [22]


def test_closed_limit_is_a_quarter_of_the_way() -> None:
    opening = torch.from_numpy(np.random.default_rng(0).uniform(0.02, 0.2, 200))
    values = np.sort(opening.numpy())
    position = 0.95 * 199
    low = int(position)
    wide = values[low] + (position - low) * (values[low + 1] - values[low])
    assert closed_below(opening) == pytest.approx(values[0] + 0.25 * (wide - values[0]))


def test_lips_that_close_are_counted() -> None:
    """b, b, b, p, p stand at shares 0, 0.2, 0.36, 0.42, 0.8 of thirty frames from 20 on."""
    words = "bin blue by p two please"
    moments = (19, 25, 30, 44)  # "by" and "p" lie too close for this mouth: one of them is seen
    true = mouth(*moments)
    assert closure(words, SPEECH, true, true, true) == Closure(4, 4)
    assert closure(words, SPEECH, true, true, mouth(19, 25, 44)) == Closure(4, 3)
    late = mouth(*(m + 2 for m in moments))
    assert closure(words, SPEECH, true, true, late) == Closure(4, 4)
    half = closure(words, SPEECH, true, true, mouth(*moments, depth=0.5))
    assert half == Closure(4, 0)
    assert half.share == 0
    # The limit is that of the face that is drawn: one whose lips never come nearer than 0.05 closes there.
    assert closure(words, SPEECH, true, true + 0.05, mouth(*moments) + 0.05) == Closure(4, 4)


def test_what_cannot_be_counted_says_why() -> None:
    true = mouth(19)
    assert closure("lay red with z six soon", SPEECH, true, true, true) == Closure(0, 0)
    assert Closure(0, 0).share is None
    other = closure(None, SPEECH, true, true, true)
    silent = closure("bin blue at f two now", torch.zeros(48000), true, true, true)
    assert isinstance(other, Unavailable)
    assert "GRID" in other.reason
    assert isinstance(silent, Unavailable)
    assert "nobody speaks" in silent.reason
