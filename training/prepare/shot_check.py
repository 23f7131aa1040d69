"""Where a video can be cut into clips: shots, and within a shot the stretches in which one face is in sight.

Shapes: T ticks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

THUMB_PX = 16
CUT_LEVELS = 22.0
"""Mean change of a 16 x 16 grey thumbnail between two ticks that counts as a cut..."""
CUT_FACTOR = 5.0
"""...if it is also so many times the median change of the surrounding second: a waving hand is no cut."""
MAX_GAP_TICKS = 5
"""A face may be lost for so long within a clip; its points are interpolated."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Ticks first..last-1 that may become a clip."""

    first: int
    last: int


def thumbnail(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[H, W, 3] to a grey [16, 16] by block means."""
    height, width = frame.shape[:2]
    rows = np.linspace(0, height, THUMB_PX + 1).astype(int)[:-1]
    columns = np.linspace(0, width, THUMB_PX + 1).astype(int)[:-1]
    grey = frame[:: max(1, height // 128), :: max(1, width // 128)].mean(axis=2, dtype=np.float32)
    rows = rows * grey.shape[0] // height
    columns = columns * grey.shape[1] // width
    sums = np.add.reduceat(np.add.reduceat(grey, rows, axis=0), columns, axis=1)
    counts = np.outer(np.diff([*rows, grey.shape[0]]), np.diff([*columns, grey.shape[1]]))
    result: NDArray[np.float32] = (sums / np.maximum(counts, 1)).astype(np.float32)
    return result


def find_cuts(thumbnails: Sequence[NDArray[np.float32]]) -> list[int]:
    """Ticks at which a new shot begins (never 0)."""
    if len(thumbnails) < 2:
        return []
    stack = np.stack(thumbnails)
    change = np.abs(np.diff(stack, axis=0)).mean(axis=(1, 2))
    cuts = []
    for i, value in enumerate(change):
        around = np.delete(change[max(0, i - 12) : i + 13], min(i, 12))
        usual = float(np.median(around)) if len(around) else 0.0
        if value > CUT_LEVELS and value > CUT_FACTOR * usual:
            cuts.append(i + 1)
    return cuts


def find_stretches(has_face: Sequence[bool], cuts: Sequence[int], jumps: Sequence[int]) -> list[Stretch]:
    """Maximal runs with a face, not crossing a cut or a jump to another face.

    Args:
        has_face: [T].
        cuts: ticks at which a shot begins.
        jumps: ticks at which the tracker took up another face.
    """
    borders = {*cuts, *jumps}
    stretches: list[Stretch] = []
    first: int | None = None
    last_seen = -1
    for tick, seen in enumerate(has_face):
        lost = first is not None and not seen and tick - last_seen > MAX_GAP_TICKS
        if first is not None and (tick in borders or lost):
            stretches.append(Stretch(first, last_seen + 1))
            first = None
        if seen:
            first = tick if first is None else first
            last_seen = tick
    if first is not None:
        stretches.append(Stretch(first, last_seen + 1))
    return stretches


def cut_to_length(stretch: Stretch, max_ticks: int) -> list[Stretch]:
    """Equal parts no longer than `max_ticks`."""
    length = stretch.last - stretch.first
    parts = -(-length // max_ticks)
    borders = [stretch.first + length * i // parts for i in range(parts + 1)]
    return [Stretch(a, b) for a, b in pairwise(borders)]


def fill_gaps(points: Sequence[NDArray[np.float32] | None]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Interpolate points of ticks without a face.

    Returns:
        [T, 68, 2] and found [T].
    """
    found = np.array([p is not None for p in points])
    known = np.flatnonzero(found)
    values = np.stack([p for p in points if p is not None]).reshape(len(known), -1)
    ticks = np.arange(len(points))
    filled = np.stack([np.interp(ticks, known, column) for column in values.T], axis=1)
    return filled.reshape(len(points), 68, 2).astype(np.float32), found
