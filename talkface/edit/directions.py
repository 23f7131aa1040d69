"""Semantic directions in latent space (paper section IV) and moving along them (eq. 7).

A direction is the average difference between latents of frames of one person that differ in one thing: the mouth, the
eyes or the head. Candidate pairs are found from the 68 points: far apart in that thing, near in all others; a contact
sheet shows them to a person, who strikes out what is not good.

Shapes: T frames, D latent dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from talkface_core.errors import WeightsError
from talkface_core.sealed_arrays import read_sealed, sealed_bytes
from talkface_core.tracking.landmarks import LEFT_EYE, RIGHT_EYE
from talkface_core.whole_file import write_whole

FloatArray = NDArray[np.floating]


class Semantic(Enum):
    """What a direction changes."""

    MOUTH = "mouth"
    """Closed to open."""
    EYES = "eyes"
    """Open to closed: a blink."""
    HEAD = "head"
    """Turned to the picture's left, then to its right."""


MIN_CHANGE = {Semantic.MOUTH: 0.08, Semantic.EYES: 0.05, Semantic.HEAD: 0.06}
"""Least difference within a pair, in the measures' own units: standard deviations alone would find blinks in the noise
of eyes that never close."""


@dataclass(frozen=True, slots=True)
class FaceMeasures:
    """What 68 points say about each frame; all without unit, in the size of the face. Each field is [T]."""

    mouth: NDArray[np.float64]
    """Opening of the inner lips."""
    eyes: NDArray[np.float64]
    """How closed the eyes are: minus their mean opening."""
    head: NDArray[np.float64]
    """Turn: how far the nose's tip is to the right of the eyes' middle."""
    nod: NDArray[np.float64]
    """How far the nose's tip is below the eyes."""
    roll: NDArray[np.float64]
    """Slope of the line of the eyes."""

    def of(self, semantic: Semantic) -> NDArray[np.float64]:
        values: NDArray[np.float64] = getattr(self, semantic.value)
        return values

    def others(self, semantic: Semantic) -> NDArray[np.float64]:
        """[T, 4] everything else."""
        names = [n for n in ("mouth", "eyes", "head", "nod", "roll") if n != semantic.value]
        return np.stack([getattr(self, n) for n in names], axis=1)


@dataclass(frozen=True, slots=True)
class FramePair:
    """Two frames of one person that differ in one thing."""

    low: int
    """Index of the frame with less of it: mouth closed, eyes open, head to the left."""
    high: int
    contrast: float
    """Difference in that thing, in its standard deviations."""
    distance: float
    """Difference in all others, in theirs."""


def measure_faces(points: FloatArray) -> FaceMeasures:
    """[T, 68, 2] points in pixels to measures."""
    if points.ndim != 3 or points.shape[1:] != (68, 2) or len(points) == 0:
        raise ValueError(f"points must be [T > 0, 68, 2], got {list(points.shape)}")
    p = np.asarray(points, dtype=np.float64)
    right, left = p[:, list(RIGHT_EYE)].mean(1), p[:, list(LEFT_EYE)].mean(1)
    middle, across = (right + left) / 2, left - right
    size = np.maximum(np.hypot(across[:, 0], across[:, 1]), 1e-6)
    along = across / size[:, None]
    down = np.stack([-along[:, 1], along[:, 0]], axis=1)
    nose = (p[:, 30] - middle) / size[:, None]
    # Nose length does not change when the head turns, so openings are measured in it as well.
    length = np.maximum(np.hypot(*(p[:, 33] - middle).T), 1e-6)
    inner = np.stack([np.hypot(*(p[:, a] - p[:, b]).T) for a, b in ((61, 67), (62, 66), (63, 65))]).mean(0)
    lids = np.stack([np.hypot(*(p[:, a] - p[:, b]).T) for a, b in ((37, 41), (38, 40), (43, 47), (44, 46))]).mean(0)
    return FaceMeasures(
        mouth=inner / length,
        eyes=-lids / length,
        head=(nose * along).sum(1),
        nod=(nose * down).sum(1),
        roll=np.arctan2(across[:, 1], across[:, 0]),
    )


def find_pairs(
    points: FloatArray, semantic: Semantic, *, num_pairs: int = 12, min_contrast: float = 1.5, max_distance: float = 1.0
) -> list[FramePair]:
    """Pairs of frames of one person for a direction, best first; each frame is used once.

    Args:
        points: [T, 68, 2] of frames of one person, in pixels of one crop.
        num_pairs: at most.
        min_contrast: least difference in the wanted thing, in standard deviations over the frames.
        max_distance: greatest difference in the others (root mean square), in theirs.

    Returns:
        possibly fewer than asked, possibly none: then the video does not show that thing changing alone.
    """
    measures = measure_faces(points)
    change = measures.of(semantic)
    wanted = _standardised(change[:, None])[:, 0]
    others = _standardised(measures.others(semantic))
    # Both ends of the range, as many as are worth comparing.
    num_ends = min(max(4 * num_pairs, 40), len(wanted) // 2)
    order = np.argsort(wanted, kind="stable")
    lows, highs = order[:num_ends], order[len(order) - num_ends :]
    contrast = wanted[highs][None, :] - wanted[lows][:, None]  # [low, high]
    distance = np.sqrt(np.square(others[lows][:, None] - others[highs][None]).mean(2))
    is_large = change[highs][None, :] - change[lows][:, None] >= MIN_CHANGE[semantic]
    usable = is_large & (contrast >= min_contrast) & (distance <= max_distance)
    quality = np.where(usable, contrast - 2 * distance, -np.inf)
    pairs: list[FramePair] = []
    while len(pairs) < num_pairs and quality.size and np.isfinite(quality.max()):
        i, j = np.unravel_index(int(quality.argmax()), quality.shape)
        pairs.append(FramePair(int(lows[i]), int(highs[j]), float(contrast[i, j]), float(distance[i, j])))
        quality[i, :] = quality[:, j] = -np.inf
    return pairs


def _standardised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """[T, n] to zero mean and unit deviation; what does not vary stays zero."""
    spread = values.std(0)
    return (values - values.mean(0)) / np.where(spread > 1e-9, spread, 1.0)


def average_direction(lows: Tensor, highs: Tensor) -> Tensor:
    """Mean over pairs of the difference of latents [N, D] -> [D]; alpha = 1 is then the average change.

    Raises:
        ValueError: no pairs, or shapes that do not match.
    """
    if lows.shape != highs.shape or lows.ndim != 2 or len(lows) == 0:
        raise ValueError(f"latents of pairs must both be [N > 0, D]; got {list(lows.shape)} and {list(highs.shape)}")
    return (highs - lows).mean(0)


def edit(z: Tensor, direction: Tensor, alpha: float) -> Tensor:
    """z_edit = z + alpha * d (eq. 7)."""
    return z + alpha * direction


def contact_sheet(
    frames: Sequence[NDArray[np.uint8]], pairs: Sequence[FramePair], *, side_px: int = 128
) -> NDArray[np.uint8]:
    """Pairs side by side for a person to judge: low above high, in the order of the list.

    Args:
        frames: [H, W, 3] uint8 each, indexed by the pairs.

    Returns:
        [2 * side_px, N * side_px, 3] uint8.
    """
    if not pairs:
        raise ValueError("there are no pairs to show")
    columns = [np.concatenate([_thumbnail(frames[p.low], side_px), _thumbnail(frames[p.high], side_px)]) for p in pairs]
    return np.concatenate(columns, axis=1)


def _thumbnail(frame: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    picture = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None].float()
    small = F.interpolate(picture, (side_px, side_px), mode="bilinear", antialias=True, align_corners=False)
    thumbnail: NDArray[np.uint8] = small[0].round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
    return thumbnail


def save_directions(path: Path, directions: dict[Semantic, Tensor]) -> None:
    """Write directions as safetensors, one [D] tensor per semantic.

    Raises:
        OSError: they cannot be written; an earlier file is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {s.value: d.detach().float().cpu().numpy() for s, d in directions.items()}
    write_whole(path, sealed_bytes(arrays, {}))


def load_directions(path: Path, latent_dim: int) -> dict[Semantic, Tensor]:
    """Read `save_directions`' file.

    Raises:
        WeightsError: missing, damaged, or made for latents of another size.
    """
    try:
        arrays, _ = read_sealed(path.read_bytes())
    except OSError as error:
        raise WeightsError(f"{path}: cannot read the directions ({error.strerror or error})") from None
    except ValueError as error:
        raise WeightsError(f"{path}: not a file of directions, or damaged ({error})") from None
    known = {s.value: s for s in Semantic}
    for name, array in arrays.items():
        if name not in known or array.shape != (latent_dim,) or not np.isfinite(array).all():
            raise WeightsError(f"{path}: {name} {list(array.shape)} is not a direction of {latent_dim} values")
    return {known[name]: torch.from_numpy(array).float() for name, array in arrays.items()}
