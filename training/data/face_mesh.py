"""Meshes of faces as the landmark teacher gives them: 478 points in three dimensions, poses, expressions.

[478, 3] x, y in pixels of the picture, z in pixels too (negative towards the camera).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MESH_TO_68 = (
    *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),  # jaw
    *(71, 63, 105, 66, 107, 336, 296, 334, 293, 301),  # brows
    *(168, 197, 5, 4, 75, 97, 2, 326, 305),  # nose
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),  # eyes
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87),  # mouth
)
"""Index in the 478-point mesh of each of the 68 points. Eyes, nose and mouth agree with other 68-point networks to
2.4-3.0 % of the outer-eye distance; jaw and brows (8.2 and 6.1 %) are another definition of the contour."""
NUM_MESH_POINTS = 478

Mesh = NDArray[np.float64]

RIGID_POINTS = (6, 168, 197, 195, 5, 4, 33, 133, 362, 263, 10, 151, 9, 127, 356, 162, 389, 234, 454)
"""Nose, eye corners, forehead and temples: they hardly move with expression."""
JAW_OPEN, EYE_BLINK_LEFT, EYE_BLINK_RIGHT = 25, 9, 10
"""Places in the teacher's 52 blendshape scores."""


def fit_similarity(source: Mesh, target: Mesh) -> tuple[float, Mesh, Mesh]:
    """Scale, rotation [3, 3] and shift [3] with target = scale * source @ rotation.T + shift (Umeyama, 1991)."""
    mean_s, mean_t = source.mean(axis=0), target.mean(axis=0)
    a, b = source - mean_s, target - mean_t
    u, singular, vt = np.linalg.svd(b.T @ a)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * signs) @ vt
    scale = float((singular * signs).sum() / (a**2).sum())
    return scale, rotation, mean_t - scale * mean_s @ rotation.T


def canonical_meshes(meshes: Mesh, reference: Mesh) -> Mesh:
    """Meshes [N, 478, 3] in the pose and size of the reference."""
    rigid = list(RIGID_POINTS)
    out = np.empty_like(meshes)
    for index, mesh in enumerate(meshes):
        scale, rotation, shift = fit_similarity(mesh[rigid], reference[rigid])
        out[index] = scale * mesh @ rotation.T + shift
    return out


def control_indices(rng: np.random.Generator) -> list[int]:
    """Mesh points that carry the spline: all 68, the lids and lips around them, and a random third of the rest."""
    rest = np.setdiff1d(np.arange(468), MESH_TO_68)  # 468 to 477 are the irises
    return [*MESH_TO_68, *rng.choice(rest, 130, replace=False).tolist()]


class ExpressionBank:
    """Expressions of the people in clips, as differences from their mean face in a common pose."""

    def __init__(self, moves: Mesh, blendshapes: NDArray[np.float32]) -> None:
        """Moves [K, 478, 3] of the mesh and the scores [K, 52] that say which are blinks and open mouths."""
        self.moves, self.blendshapes = moves, blendshapes
        blink = blendshapes[:, [EYE_BLINK_LEFT, EYE_BLINK_RIGHT]].min(axis=1)
        self._pools = (
            np.arange(len(moves)),
            np.nonzero(blink > 0.45)[0],
            np.argsort(-blendshapes[:, JAW_OPEN])[: max(1, len(moves) // 8)],
        )

    @classmethod
    def of_people(
        cls, meshes: Mesh, blendshapes: NDArray[np.float32], people: NDArray[np.str_], reference: Mesh
    ) -> ExpressionBank:
        """From meshes [K, 478, 3] of people [K] in clips."""
        canonical = canonical_meshes(meshes, reference)
        moves = np.empty_like(canonical)
        for person in np.unique(people):
            chosen = people == person
            moves[chosen] = canonical[chosen] - canonical[chosen].mean(axis=0)
        return cls(moves, blendshapes)

    def draw(self, rng: np.random.Generator) -> Mesh:
        """[478, 3] a random expression: any (half), a blink, an open mouth; weaker or stronger than it was."""
        pool = self._pools[int(rng.choice(3, p=[0.4, 0.2, 0.4]))]
        if not len(pool):
            pool = self._pools[0]
        gain = rng.uniform(0.6, 1.2) if pool is self._pools[1] else rng.uniform(0.6, 2.6)
        return gain * self.moves[int(rng.choice(pool))]
