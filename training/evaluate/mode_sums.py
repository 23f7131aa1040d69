"""What `talkface evaluate` collects about one mode over all clips, and the means of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from torch import Tensor

from talkface_core.tracking.landmarks import LandmarkNet
from training.evaluate.clip import Judges, Measured, Truth
from training.evaluate.landmark_judge import own_features
from training.metrics import (
    FeatureStatistics,
    StyleBits,
    Unavailable,
    face_signature,
    frechet_distance,
    recognised_share,
)
from training.metrics.likeness import LikenessScores
from training.metrics.own_features import OwnFeatureScores


class ModeSums:
    """What one mode collects over the clips."""

    def __init__(self, network: LandmarkNet) -> None:
        self.bits = StyleBits()
        self._own = OwnFeatureScores(lambda frames: own_features(network, frames))
        self._real, self._fake = FeatureStatistics(), FeatureStatistics()
        self._single: list[Measured] = []
        self._persons: list[str] = []
        self._likeness = LikenessScores()
        self._signatures: tuple[list[Tensor], list[Tensor]] = ([], [])

    def add(self, measured: Measured, seen: Truth, fake: Tensor, judges: Judges) -> None:
        """Take in one clip."""
        real = seen.frames
        self._single.append(measured)
        self._persons.append(seen.clip.person)
        # The true landmarks for both: a drawing without a face must not choose its own crop.
        for signatures, frames in zip(self._signatures, (fake, real), strict=True):
            signatures.append(face_signature(frames, seen.points))
        assert measured.look is not None
        self._likeness.add(seen.clip.person, seen.look, measured.look)
        self._own.update(real, fake)
        if not isinstance(judges.inception, Unavailable):
            for part_real, part_fake in zip(real.split(16), fake.split(16), strict=True):
                self._real.update(judges.inception(part_real))
                self._fake.update(judges.inception(part_fake))

    def means(self, trained_against: Collection[str]) -> tuple[dict[str, float | None], dict[str, str]]:
        """Means over clips, FID and distances over all frames at once; and why likeness is not measured, if so.

        Args:
            trained_against: kinds of networks that were losses of these weights.
        """
        summary = {name: _mean([m.values[name] for m in self._single]) for name in self._single[0].values}
        summary |= self._own.compute()
        summary |= closure_of_all(self._single)
        likeness, missing = self._likeness.compute(trained_against)
        summary |= likeness
        summary["recognised_by_colours"] = recognised_share(*self._signatures, self._persons)
        summary["fid"] = frechet_distance(self._real, self._fake) if self._real.count else None
        if self.bits.seconds > 0:
            summary |= {f"style_{layer}_kbps": value for layer, value in self.bits.kbps().items()}
        return summary, missing


def closure_of_all(clips: Sequence[Measured]) -> dict[str, float | None]:
    """Share and number over all bilabials, not over clips: a sentence may hold one or five."""
    counted = [(m.values["closure"] or 0.0, n) for m in clips if (n := m.values["closure_sounds"]) is not None]
    total = sum(n for _, n in counted)
    return {
        "closure": sum(share * n for share, n in counted) / total if total else None,
        "closure_sounds": total if counted else None,
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None and np.isfinite(v)]
    return float(np.mean(known)) if known else None
