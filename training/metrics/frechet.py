"""Fréchet distance between two sets of features (Heusel et al. 2017): lower is better.

d² = ‖μ₁ - μ₂‖² + tr(Σ₁ + Σ₂ - 2 (Σ₁ Σ₂)^½). On features of the FID Inception network it is FID; on features of our
own network it is another number under another name.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


class FeatureStatistics:
    """Running mean and covariance of feature rows; update with batches, then read `mean` and `covariance`."""

    def __init__(self) -> None:
        self.count = 0
        self._sum: NDArray[np.float64] | None = None
        self._outer: NDArray[np.float64] | None = None

    def update(self, features: Tensor) -> None:
        """Add rows.

        Args:
            features: [N, C]
        """
        if features.ndim != 2:
            raise ValueError(f"FeatureStatistics: expected [N, C], got {[*features.shape]}")
        rows = features.detach().double().cpu().numpy()
        if self._sum is None or self._outer is None:
            self._sum, self._outer = np.zeros(rows.shape[1]), np.zeros((rows.shape[1], rows.shape[1]))
        self.count += len(rows)
        self._sum += rows.sum(0)
        self._outer += rows.T @ rows

    @property
    def mean(self) -> NDArray[np.float64]:
        """[C]"""
        if self._sum is None:
            raise ValueError("FeatureStatistics: no rows yet")
        return self._sum / self.count

    @property
    def covariance(self) -> NDArray[np.float64]:
        """[C, C], divided by N - 1."""
        if self._outer is None or self.count < 2:
            raise ValueError(f"FeatureStatistics: a covariance needs two rows or more, got {self.count}")
        mean = self.mean
        return (self._outer - self.count * np.outer(mean, mean)) / (self.count - 1)


def frechet_distance(first: FeatureStatistics, second: FeatureStatistics) -> float:
    """Squared Fréchet distance of two Gaussians with these statistics.

    (Σ₁ Σ₂)^½ has the trace of (Σ₁^½ Σ₂ Σ₁^½)^½, which is symmetric: eigenvalues are real and small negative ones
    from rounding are set to 0, so that singular covariances (fewer rows than features) need no added noise.
    """
    difference = first.mean - second.mean
    sigma1, sigma2 = first.covariance, second.covariance
    values, vectors = np.linalg.eigh(sigma1)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ sigma2 @ root).clip(0)).sum()
    return float(difference @ difference + np.trace(sigma1) + np.trace(sigma2) - 2 * cross)
