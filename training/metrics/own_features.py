"""Distances on features of our own networks, under names of their own: never FID, never a published identity score.

`own_feature_similarity` is the cosine between mean features of the true and the drawn clip (higher is better);
`fd_own` is the Fréchet distance on the same features (lower is better).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from training.metrics.frechet import FeatureStatistics, frechet_distance
from training.metrics.result import check_same_frames

FeatureFunction = Callable[[Tensor], Tensor]
"""[N, 3, H, W] in [0, 1] to [N, C]."""


class OwnFeatureScores:
    """Update with pairs of clips, then read both numbers."""

    def __init__(self, features: FeatureFunction) -> None:
        self._features = features
        self._real, self._fake = FeatureStatistics(), FeatureStatistics()
        self._similarities: list[float] = []

    @torch.inference_mode()
    def update(self, real: Tensor, fake: Tensor) -> None:
        """Add one clip: [T, 3, H, W] in [0, 1] each."""
        check_same_frames("OwnFeatureScores", real, fake)
        real_rows, fake_rows = self._features(real), self._features(fake)
        self._real.update(real_rows)
        self._fake.update(fake_rows)
        cosine = F.cosine_similarity(real_rows.mean(0), fake_rows.mean(0), dim=0)
        self._similarities.append(float(cosine))

    def compute(self) -> dict[str, float]:
        """{"own_feature_similarity", "fd_own"}."""
        if not self._similarities:
            raise ValueError("OwnFeatureScores: no clip yet")
        return {
            "own_feature_similarity": sum(self._similarities) / len(self._similarities),
            "fd_own": frechet_distance(self._real, self._fake),
        }
