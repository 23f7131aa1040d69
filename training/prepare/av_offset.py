"""Does the sound of a clip belong to its picture? Mouth opening against loudness, and the shift at which they fit best.

Crude beside a lip expert, but it needs no training: an offset is only believed when the fit is clear.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talkface_core.sound.mel import SAMPLES_PER_FRAME

MAX_SHIFT_FRAMES = 12
MIN_CORRELATION = 0.55
"""Below it the clip says nothing: too short, too little speech, singing, music."""
MIN_MARGIN = 0.15
"""So much better than any shift more than three frames away; three seconds of speech often fit at two places."""


@dataclass(frozen=True, slots=True)
class AvOffset:
    """Best shift of a clip."""

    frames: int
    """Above 0 the sound is late against the lips."""
    correlation: float
    margin: float
    """Correlation minus the best one more than three frames away."""

    @property
    def is_clear(self) -> bool:
        """True when the fit is good enough to be believed."""
        return self.correlation >= MIN_CORRELATION and self.margin >= MIN_MARGIN


def mouth_opening(points: NDArray[np.float32]) -> NDArray[np.float64]:
    """[T, 68, 2] to the inner lips' height in eye distances, [T]."""
    height = np.linalg.norm(points[:, 61:64].mean(axis=1) - points[:, 65:68].mean(axis=1), axis=1)
    eyes = np.linalg.norm(points[:, 45] - points[:, 36], axis=1)
    opening: NDArray[np.float64] = (height / np.maximum(eyes, 1e-3)).astype(np.float64)
    return opening


def loudness(samples: NDArray[np.int16], num_frames: int) -> NDArray[np.float64]:
    """Log energy of each frame's 40 ms, [T]."""
    wave = samples[: num_frames * SAMPLES_PER_FRAME].astype(np.float64)
    energy = np.square(np.pad(wave, (0, num_frames * SAMPLES_PER_FRAME - len(wave)))).reshape(num_frames, -1).mean(1)
    return np.log10(energy + 100.0)


def find_av_offset(points: NDArray[np.float32], samples: NDArray[np.int16]) -> AvOffset:
    """Shift with the largest correlation; both series are high-passed, so that a slow trend does not decide.

    Raises:
        ValueError: fewer than 25 frames.
    """
    count = len(points)
    if count < 25:
        raise ValueError(f"an A/V offset needs 25 frames or more, got {count}")
    lips, sound = _lively(mouth_opening(points)), _lively(loudness(samples, count))
    reach = min(MAX_SHIFT_FRAMES, count // 3)
    correlations = []
    for shift in range(-reach, reach + 1):
        a = lips[max(0, -shift) : count - max(0, shift)]
        b = sound[max(0, shift) : count - max(0, -shift)]
        correlations.append(_correlation(a, b))
    best = int(np.argmax(correlations))
    others = [c for i, c in enumerate(correlations) if abs(i - best) > 3]
    margin = correlations[best] - max(others, default=-1.0)
    return AvOffset(best - reach, float(correlations[best]), float(margin))


def _lively(series: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smoothed over 3 frames, minus its mean over a second."""
    smooth = np.convolve(np.pad(series, 1, mode="edge"), np.ones(3) / 3, "valid")
    slow = np.convolve(np.pad(smooth, 12, mode="edge"), np.ones(25) / 25, "valid")
    return smooth - slow


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    a, b = a - a.mean(), b - b.mean()
    norm = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / norm) if norm > 1e-9 else 0.0
