"""One long style track from many short clips: what drives head and eyes when nothing is captured.

A single sentence of three seconds, played back and forth, nods at the same place every three seconds and may not blink
at all. Here clips follow one another where they fit best, faded into each other.

Shapes: T frames, V style values in sigma units.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FADE_FRAMES = 12
"""Half a second at 25 per second: head motion is slower than that."""


def chain_tracks(
    tracks: Sequence[NDArray[np.float32]], num_clips: int = 12, fade_frames: int = FADE_FRAMES
) -> NDArray[np.float32]:
    """Chain clips so that each begins near where the one before ended.

    It starts with the clip of middling liveliness: the liveliest of many is an exception, not a habit.

    Args:
        tracks: [T, V] each, finite; those no longer than two fades are left out unless there is nothing else.
        num_clips: how many are used at most.
        fade_frames: frames over which one goes into the next.

    Returns:
        [T', V]

    Raises:
        ValueError: there is no track.
    """
    if not tracks:
        raise ValueError("chain_tracks: no style track to make a reel of")
    usable = [t for t in tracks if len(t) > 2 * fade_frames]
    if not usable:
        return max(tracks, key=len)
    liveliness = [float(np.abs(np.diff(t, axis=0)).mean()) for t in usable]
    order = [int(np.argsort(liveliness)[len(usable) // 2])]
    while len(order) < min(num_clips, len(usable)):
        end = usable[order[-1]][-fade_frames:]
        rest = [i for i in range(len(usable)) if i not in order]
        order.append(min(rest, key=lambda i: float(np.square(usable[i][:fade_frames] - end).mean())))
    reel = usable[order[0]]
    weight = ((np.arange(fade_frames, dtype=np.float32) + 1) / (fade_frames + 1))[:, None]
    for index in order[1:]:
        following = usable[index]
        fade = reel[-fade_frames:] * (1 - weight) + following[:fade_frames] * weight
        reel = np.concatenate([reel[:-fade_frames], fade, following[fade_frames:]])
    return reel.astype(np.float32)
