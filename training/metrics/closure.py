"""Closure: do the drawn lips close at b, p and m as the true ones do?

Lip-sync scores do not punish lips that stay open there, and viewers do. GRID's grammar says where these sounds stand:
a clip's name spells its sentence (`bbaf2n`: "bin blue at f two now"), the words come at nearly fixed shares of the
sentence, and the true lips' own minimum near the expected moment says exactly when. Sounds whose closing is not seen
in the true lips are not counted.

    closure = (sounds at which min of drawn opening within ±2 frames <= θ) / (sounds at which the true lips close)
    θ = least true opening + 1/4 (95th percentile of the true opening - least)

A mouth that is always closed closes everywhere: read it beside `amplitude_mouth`. Shapes: T frames at 25 per second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from training.metrics.result import Unavailable
from training.metrics.speech import speech_span

BILABIAL_STARTS = frozenset({"bin", "blue", "by", "b", "place", "p", "please"})
BILABIAL_ENDS = frozenset({"m"})
WORD_STARTS = (0.0, 0.20, 0.36, 0.42, 0.60, 0.80)
"""Where a GRID sentence's six words begin, in shares of the sentence (the corpus's own alignments, on average)."""
LETTER_END = 0.57
"""Where the lips close at the end of the letter m ("em")."""
SEARCH_FRAMES = 5
"""0.2 s around the expected moment: on 40 held-out clips the first word's closing deviates by 2.4 frames (standard
deviation), blue's by 1.3, please's by 0.8."""
SLACK_FRAMES = 2
"""80 ms: how much earlier or later the drawn lips may close."""
CLOSED_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Closure:
    """What one clip says."""

    num_sounds: int
    """Bilabials at which the true lips close."""
    num_closed: int
    """Those at which the drawn ones do."""

    @property
    def share(self) -> float | None:
        return self.num_closed / self.num_sounds if self.num_sounds else None


def expected_closings(sentence: str, first: float, last: float) -> list[float]:
    """Frames at which the lips should close in a GRID sentence of six words spoken from `first` to `last`."""
    moments = []
    for index, (word, start) in enumerate(zip(sentence.split(), WORD_STARTS, strict=True)):
        if word in BILABIAL_STARTS:
            moments.append(start)
        if word in BILABIAL_ENDS and index == 3:
            moments.append(LETTER_END)
    # The voice sets in when the lips part: they were closed a frame before.
    return [first + share * (last - first) - 1 for share in moments]


def closed_below(opening: Tensor) -> float:
    """θ of a true opening [T]: lips nearer than this are closed."""
    least = float(opening.min())
    return least + CLOSED_SHARE * (float(opening.quantile(0.95)) - least)


def find_closings(opening: Tensor, expected: Sequence[float]) -> list[int]:
    """Frames of the true lips' minima that belong to the expected moments, in order, each used once.

    Args:
        opening: [T] of the true mouth.
    """
    limit = closed_below(opening)
    values = opening.tolist()
    minima = [
        t
        for t, v in enumerate(values)
        if v <= limit and v == min(values[max(0, t - SLACK_FRAMES) : t + SLACK_FRAMES + 1])
    ]
    found: list[int] = []
    for moment in expected:
        candidates = [t for t in minima if abs(t - moment) <= SEARCH_FRAMES and (not found or t > found[-1])]
        if candidates:
            found.append(min(candidates, key=lambda t: abs(t - moment)))
    return found


def closure(
    sentence: str | None, samples: Tensor, heard: Tensor, shown: Tensor, drawn: Tensor
) -> Closure | Unavailable:
    """Count bilabials and closed drawn lips of one clip.

    Args:
        sentence: GRID's six words that are heard; None where they are not known.
        samples: [S] its sound at 16 kHz.
        heard: [T] opening of the true mouth that spoke it.
        shown: [T] opening of the true mouth of the face that is drawn, whose closed lips set the limit; `heard` again
            where the clip drives its own face.
        drawn: [T] opening of the drawn mouth.
    """
    if sentence is None:
        return Unavailable("the clip's name does not spell a GRID sentence, which says where b, p and m stand")
    length = min(len(heard), len(drawn))
    span = speech_span(samples, length)
    if span is None:
        return Unavailable("nobody speaks in the clip")
    closings = find_closings(heard[:length], expected_closings(sentence, *span))
    limit = closed_below(shown)
    near = [drawn[max(0, t - SLACK_FRAMES) : t + SLACK_FRAMES + 1] for t in closings]
    return Closure(len(closings), sum(float(part.min()) <= limit for part in near))
