"""Which tick of the sender's clock a sample of the playout signal came from.

Playout and sender time differ: sound is concealed, stretched, skipped and resampled. Every piece of playout signal
notes where it came from; style, which is stamped in sender ticks, is looked up through this.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass

MAX_PIECES = 1024
"""At 20 ms pieces, 20 s: far more than lies between decoding and drawing."""


@dataclass(frozen=True, slots=True)
class _Piece:
    start_samples: int
    num_samples: int
    start_ticks: float
    num_ticks: float


class TickMap:
    """Piecewise linear map from playout samples to sender ticks; forgets the oldest pieces."""

    def __init__(self, max_pieces: int = MAX_PIECES) -> None:
        self._pieces: deque[_Piece] = deque(maxlen=max_pieces)

    def append(self, start_samples: int, num_samples: int, start_ticks: float, num_ticks: float) -> None:
        """The next piece of playout signal; pieces follow each other without a gap."""
        if num_samples > 0:
            self._pieces.append(_Piece(start_samples, num_samples, start_ticks, num_ticks))

    def ticks_at(self, samples: float) -> float | None:
        """Sender tick of a playout sample; beyond the ends the nearest piece is carried on; None when empty."""
        if not self._pieces:
            return None
        index = bisect_right(self._pieces, samples, key=lambda piece: piece.start_samples) - 1
        piece = self._pieces[max(index, 0)]
        inside = samples - piece.start_samples
        if 0 <= inside <= piece.num_samples:
            return piece.start_ticks + inside * piece.num_ticks / piece.num_samples
        beyond = inside - piece.num_samples if inside > 0 else inside
        return piece.start_ticks + (piece.num_ticks if inside > 0 else 0.0) + beyond
