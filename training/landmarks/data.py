"""Augmented crops for the landmark network, made in batches: where strangers' faces come from in training.

A tile is a labelled face with room around it. A crop of it is cut at a random place, size and angle, flipped, put
on another ground, recoloured, blurred, hidden in part. A share of the batch holds no face or a badly framed one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from talkface_core.tracking.landmarks import CROP_PX, MIRROR, Framing
from training.data.face_mesh import MESH_TO_68
from training.landmarks.label import TILE_FACTOR, TILE_PX
from training.landmarks.photometric import recolour, uniform
from training.landmarks.textures import scramble, texture_pool

IGNORED = -1
"""Framing label of crops between the classes."""
FACE_FRACTIONS = (0.38, 0.95)
"""Share of the crop side that a well framed face (68 points) fills."""
MAX_CENTRE_OFFSET = 0.17
"""Distance of the face's centre from the crop's centre, as a share of the crop side, when well framed."""


@dataclass(frozen=True, slots=True)
class LandmarkBatch:
    crops: Tensor
    """[B, 3, S, S] float32 in [-1, 1]."""
    points: Tensor
    """[B, 68, 2] in [-1, 1] of the crop; may lie outside."""
    framing: Tensor
    """[B] int64, see `Framing`; IGNORED where neither class fits."""
    has_points: Tensor
    """[B] float32, 1 where points are to be learned."""


class TileStore:
    """Labelled tiles of all shards of a folder; the pixels stay on disk (and in the page cache, shared)."""

    def __init__(self, folder: Path) -> None:
        shards = sorted(folder.glob("faces_*.npz"))
        if not shards:
            raise FileNotFoundError(f"no faces_*.npz in {folder}: run python -m training.landmarks.label first")
        self._tiles = [np.load(p.with_name(p.stem.replace("faces_", "tiles_") + ".npy"), mmap_mode="r") for p in shards]
        tables = [np.load(path) for path in shards]
        self._place = [(shard, row) for shard, tiles in enumerate(self._tiles) for row in range(len(tiles))]
        points = np.concatenate([t["meshes"][:, list(MESH_TO_68), :2] for t in tables])
        self._points = torch.from_numpy(points) * (2 / TILE_PX) - 1
        self._weights = balance(np.concatenate([t["people"] for t in tables]))

    def __len__(self) -> int:
        return len(self._place)

    def draw(self, rng: np.random.Generator, size: int) -> tuple[Tensor, Tensor]:
        """Random tiles [B, 4, 256, 256] float in 0..1 and their points [B, 68, 2] in [-1, 1] of the tile."""
        index = rng.choice(len(self), size, p=self._weights)
        places = [self._place[i] for i in index]
        pixels = np.stack([self._tiles[shard][row] for shard, row in places])
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255, self._points[torch.from_numpy(index)]


class LandmarkCrops:
    """An endless source of augmented batches.

    Args:
        folder: shards written by `training.landmarks.label` (and `landmarks_warp`).
        seed: of every random choice.
        crop_px: S.
    """

    def __init__(self, folder: Path, *, seed: int, crop_px: int = CROP_PX, num_textures: int = 3000) -> None:
        self._rng = np.random.default_rng(seed)
        self._random = torch.Generator().manual_seed(seed)
        self._crop_px = crop_px
        self._store = TileStore(folder)
        frames = [pair for path in sorted(folder.glob("frames_*.npz")) for pair in some_frames(self._rng, path)]
        self._textures = torch.from_numpy(texture_pool(self._rng, num_textures, frames)).permute(0, 3, 1, 2)

    def __len__(self) -> int:
        return len(self._store)

    def batch(self, size: int) -> LandmarkBatch:
        """The next `size` crops: about 80 % well framed, 8 % badly framed, 12 % without a face."""
        tiles, tile_points = self._store.draw(self._rng, size)
        is_bad = torch.rand(size, generator=self._random) < 0.08
        matrix, shift, flipped, framing = self._placement(size, is_bad)
        tiles = self._soften(tiles)
        theta = torch.cat([matrix, shift[:, :, None]], dim=2)
        grid = F.affine_grid(theta, [size, 4, self._crop_px, self._crop_px], align_corners=False)
        rgba = F.grid_sample(tiles, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        points = torch.linalg.solve(matrix[:, None], (tile_points - shift[:, None])[..., None])[..., 0]
        mirrored = points[:, list(MIRROR)]
        points = torch.where(flipped[:, None, None], mirrored, points)
        crops = self._compose(rgba, points)
        crops = self._hide_parts(crops)
        framing = self._replace_some(crops, framing)
        crops = recolour(crops, self._random)
        has_points = (framing == Framing.FACE) | (framing == IGNORED)
        return LandmarkBatch(crops * 2 - 1, points, framing, has_points.float())

    def _placement(self, size: int, is_bad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Random crops as affine maps from crop to tile (both in [-1, 1])."""
        fraction = torch.exp(uniform(size, np.log(FACE_FRACTIONS[0]), np.log(FACE_FRACTIONS[1]), self._random))
        offset = (torch.rand(size, 2, generator=self._random) * 2 - 1) * MAX_CENTRE_OFFSET
        # Bad: half of them far too small or large, half far off the centre.
        wrong_size = torch.rand(size, generator=self._random) < 0.5
        tiny = torch.rand(size, generator=self._random) < 0.5
        bad_fraction = torch.where(
            tiny, uniform(size, 0.12, 0.28, self._random), uniform(size, 1.35, 2.2, self._random)
        )
        angle = uniform(size, 0, 2 * np.pi, self._random)
        bad_offset = torch.stack([angle.cos(), angle.sin()], dim=1) * uniform(size, 0.38, 0.6, self._random)[:, None]
        fraction = torch.where(is_bad & wrong_size, bad_fraction, fraction)
        offset = torch.where((is_bad & ~wrong_size)[:, None], bad_offset, offset)
        half = 1 / (TILE_FACTOR * fraction)  # half side of the crop in tile units
        roll = torch.randn(size, generator=self._random).clamp(-3, 3) * 0.25
        aspect = torch.exp(uniform(size, -0.1, 0.1, self._random))
        flipped = torch.rand(size, generator=self._random) < 0.5
        sign = torch.where(flipped, -1.0, 1.0)
        cos, sin = roll.cos(), roll.sin()
        rotation = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)  # [B, 2, 2]
        stretch = torch.diag_embed(torch.stack([sign * aspect, 1 / aspect], dim=1))
        matrix = half[:, None, None] * rotation @ stretch
        shift = offset * 2 * half[:, None]
        framing = torch.where(is_bad, int(Framing.BADLY_FRAMED), int(Framing.FACE))
        return matrix, shift, flipped, framing

    def _soften(self, tiles: Tensor) -> Tensor:
        """Half of the batches from half the resolution: soft pictures, and no aliasing in small crops."""
        return F.avg_pool2d(tiles, 2) if self._rng.random() < 0.5 else tiles

    def _ground(self, size: int) -> Tensor:
        """[B, 3, S, S] random textures in 0..1."""
        index = torch.randint(len(self._textures), (size,), generator=self._random)
        start = int(self._rng.integers(0, self._textures.shape[2] - self._crop_px + 1))
        ground = self._textures[index, :, start : start + self._crop_px, start : start + self._crop_px].float() / 255
        return ground.flip(3) if self._rng.random() < 0.5 else ground

    def _compose(self, rgba: Tensor, points: Tensor) -> Tensor:
        """Put the tile on a texture: where the picture had ended, and in a fifth of cases around the whole head."""
        size, side = rgba.shape[0], self._crop_px
        alpha = rgba[:, 3:]
        low, high = points.amin(dim=1), points.amax(dim=1)
        centre, radius = (low + high) / 2, (high - low) / 2
        axis = (torch.arange(side) * 2 + 1) / side - 1
        x = (axis[None, None, :] - centre[:, 0, None, None]) / radius[:, 0, None, None]
        y = (axis[None, :, None] - centre[:, 1, None, None]) / radius[:, 1, None, None]
        distance = ((x / 1.45) ** 2 + ((y + 0.25) / 1.6) ** 2)[:, None]  # [B, 1, S, S]
        ellipse = torch.sigmoid((1 - distance) * 12)
        cut_out = (torch.rand(size, generator=self._random) < 0.2)[:, None, None, None]
        alpha = torch.where(cut_out, alpha * ellipse, alpha)
        return rgba[:, :3] * alpha + self._ground(size) * (1 - alpha)

    def _hide_parts(self, crops: Tensor) -> Tensor:
        """Cover up to a third of a crop's width and height with a patch: hands, microphones, hair, graphics."""
        size, side = crops.shape[0], self._crop_px
        axis = torch.arange(side) / side
        centre = torch.rand(size, 2, generator=self._random)
        radius = torch.rand(size, 2, generator=self._random) * 0.15 + 0.03
        dx = (axis[None, :] - centre[:, :1]).abs() / radius[:, :1]
        dy = (axis[None, :] - centre[:, 1:]).abs() / radius[:, 1:]
        box = torch.maximum(dx[:, None, :], dy[:, :, None]) < 1
        round_ = dx[:, None, :] ** 2 + dy[:, :, None] ** 2 < 1
        is_round = (torch.rand(size, generator=self._random) < 0.5)[:, None, None]
        covered = torch.where(is_round, round_, box) & (torch.rand(size, generator=self._random) < 0.35)[:, None, None]
        return torch.where(covered[:, None], self._ground(size), crops)

    def _replace_some(self, crops: Tensor, framing: Tensor) -> Tensor:
        """Turn 12 % of the crops into pictures without a face, in place; returns the new labels."""
        chosen = torch.nonzero(torch.rand(len(crops), generator=self._random) < 0.12)[:, 0]
        ground = self._ground(max(1, len(chosen)))
        framing = framing.clone()
        for slot, index in enumerate(chosen.tolist()):
            if self._rng.random() < 0.3:
                picture = (crops[index].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
                mixed = scramble(self._rng, picture, cells=int(self._rng.choice([4, 8])))
                crops[index] = torch.from_numpy(mixed.copy()).permute(2, 0, 1).float() / 255
            else:
                crops[index] = ground[slot]
            framing[index] = int(Framing.NO_FACE)
        return framing


def balance(people: NDArray[np.str_]) -> NDArray[np.float64]:
    """Sampling weights: every person counts with the square root of their number of tiles (stills are all one name,
    but 2400 people, and get 60 %)."""
    weights = np.zeros(len(people))
    is_still = np.char.startswith(people, "synthetic") | np.char.startswith(people, "still")
    for person in np.unique(people[~is_still]):
        chosen = people == person
        weights[chosen] = 1 / np.sqrt(chosen.sum())
    if is_still.any() and not is_still.all():
        weights /= weights.sum() / 0.4
        weights[is_still] = 0.6 / is_still.sum()
    elif is_still.all():
        weights[:] = 1.0
    return weights / weights.sum()


def some_frames(
    rng: np.random.Generator, path: Path, at_most: int = 500
) -> list[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """Random whole pictures of a `frames_*.npz` shard, each with its 68 points in pixels."""
    shard = np.load(path)
    frames, points = shard["frames"], shard["points"]
    chosen = rng.permutation(len(frames))[:at_most]
    return [(frames[i], points[i]) for i in chosen]
