"""Made-up scenes for the face finder: zero to three faces of any size on ground without faces."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from talkface_core.tracking.face_finder import STRIDE
from training.landmarks.data import TileStore, some_frames
from training.landmarks.label import TILE_FACTOR
from training.landmarks.photometric import recolour, uniform
from training.landmarks.textures import scramble, texture_pool

SCENE_PX = 192
OCTAVES_PX = ((95.0, 260.0), (46.0, 110.0), (22.0, 50.0), (11.0, 25.0))
"""Face sizes (longer side of the box of the 68 points) of layers; layer n reads tiles reduced by 2**n."""
SCENE_CELLS = SCENE_PX // STRIDE


@dataclass(frozen=True, slots=True)
class FinderBatch:
    scenes: Tensor
    """[B, 3, 192, 192] in [-1, 1]."""
    heat: Tensor
    """[B, 1, 24, 24] 1 at the cell of a face's centre, falling off as a Gaussian."""
    log_size: Tensor
    """[B, 2, 24, 24] log width, height in cells, where `size_mask`."""
    size_mask: Tensor
    """[B, 1, 24, 24] 1 at the centres and the cells beside them."""
    offset: Tensor
    """[B, 2, 24, 24] where the centre lies in its cell, 0..1."""
    centre_mask: Tensor
    """[B, 1, 24, 24] 1 at the centres."""


class FinderScenes:
    """An endless source of scenes from the tiles of `training.landmarks.label` and `landmarks_warp`."""

    def __init__(self, folder: Path, *, seed: int, num_textures: int = 4000) -> None:
        self._rng = np.random.default_rng(seed)
        self._random = torch.Generator().manual_seed(seed)
        self._store = TileStore(folder)
        frames = [pair for path in sorted(folder.glob("frames_*.npz")) for pair in some_frames(self._rng, path)]
        pool = texture_pool(self._rng, num_textures, frames)
        self._textures = torch.from_numpy(pool).permute(0, 3, 1, 2)

    def __len__(self) -> int:
        return len(self._store)

    def batch(self, size: int) -> FinderBatch:
        scenes = self._ground(size)
        scenes = self._decoys(scenes)
        boxes = torch.zeros(size, 0, 4)
        # Large faces first: small ones stand in front where there is room.
        octaves = np.sort(self._rng.choice(len(OCTAVES_PX), 3, p=[0.4, 0.25, 0.2, 0.15]))
        for octave in octaves:
            scenes, boxes = self._add_layer(scenes, boxes, int(octave))
        scenes = recolour(scenes, self._random)
        return make_targets(scenes * 2 - 1, boxes)

    def _ground(self, size: int) -> Tensor:
        """A texture, with bands of two others over it."""

        def some(num: int) -> Tensor:
            index = torch.randint(len(self._textures), (num,), generator=self._random)
            crop = int(self._rng.integers(40, 161))
            start = int(self._rng.integers(0, 161 - crop))
            part = self._textures[index, :, start : start + crop, start : start + crop].float() / 255
            return F.interpolate(part, size=(SCENE_PX, SCENE_PX), mode="bilinear")

        scenes = some(size)
        axis = torch.arange(SCENE_PX) / SCENE_PX
        for _ in range(2):
            low = torch.rand(size, 2, generator=self._random) * 1.2 - 0.3
            high = low + torch.rand(size, 2, generator=self._random) * 0.8
            inside_x = (axis > low[:, :1]) & (axis < high[:, :1])
            inside_y = (axis > low[:, 1:]) & (axis < high[:, 1:])
            scenes = torch.where((inside_x[:, None, :] & inside_y[:, :, None])[:, None], some(size), scenes)
        return scenes

    def _decoys(self, scenes: Tensor) -> Tensor:
        """Scrambled faces in a sixth of the scenes: skin, eyes and hair, but no face."""
        for index in torch.nonzero(torch.rand(len(scenes), generator=self._random) < 0.16)[:, 0].tolist():
            tile = self._store.draw(self._rng, 1)[0][0, :3, 48:208, 48:208].permute(1, 2, 0) * 255
            mixed = scramble(self._rng, tile.to(torch.uint8).numpy(), cells=int(self._rng.choice([4, 5])))
            side = int(self._rng.integers(32, SCENE_PX))
            patch = torch.from_numpy(mixed.copy()).permute(2, 0, 1)[None].float() / 255
            patch = F.interpolate(patch, size=(side, side), mode="bilinear", antialias=True)[0]
            x, y = self._rng.integers(0, SCENE_PX - side + 1, 2)
            scenes[index, :, y : y + side, x : x + side] = patch
        return scenes

    def _add_layer(self, scenes: Tensor, boxes: Tensor, octave: int) -> tuple[Tensor, Tensor]:
        """At most one more face per scene, none where it would cover another; returns scenes and boxes [B, N, 4]
        (x, y, width, height in pixels; width 0: none)."""
        low, high = OCTAVES_PX[octave]
        # Only scenes that get a face are worked on.
        chosen = torch.nonzero(torch.rand(len(scenes), generator=self._random) < 0.5)[:, 0]
        size = len(chosen)
        face_px = torch.exp(uniform(size, math.log(low), math.log(high), self._random))
        half = SCENE_PX / face_px / TILE_FACTOR  # half side of the scene in tile units
        centre = torch.rand(size, 2, generator=self._random) * 2 - 1
        large = (face_px > 0.6 * SCENE_PX)[:, None]
        centre = torch.where(large, centre * 0.4, centre)  # a huge face off the centre is hardly a face
        roll = torch.randn(size, generator=self._random) * 0.2
        sign = torch.where(torch.rand(size, generator=self._random) < 0.5, -1.0, 1.0)
        aspect = torch.exp(uniform(size, -0.12, 0.12, self._random))
        cos, sin = roll.cos(), roll.sin()
        rotation = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
        stretch = torch.diag_embed(torch.stack([sign * aspect, 1 / aspect], dim=1))
        matrix = half[:, None, None] * rotation @ stretch  # scene to tile
        shift = -(matrix @ centre[..., None])[..., 0]
        tiles, tile_points = self._store.draw(self._rng, size)
        points = torch.linalg.solve(matrix[:, None], (tile_points - shift[:, None])[..., None])[..., 0]
        box = points_to_boxes((points + 1) * (SCENE_PX / 2))
        free = ~covers_any(box, boxes[chosen])
        chosen, tiles, box, matrix, shift = chosen[free], tiles[free], box[free], matrix[free], shift[free]
        new_boxes = torch.zeros(len(scenes), 1, 4)
        if len(chosen):
            tiles = F.avg_pool2d(tiles, 2**octave)
            size_out = [len(chosen), 4, SCENE_PX, SCENE_PX]
            grid = F.affine_grid(torch.cat([matrix, shift[..., None]], 2), size_out, align_corners=False)
            rgba = F.grid_sample(tiles, grid, padding_mode="zeros", align_corners=False)
            alpha = rgba[:, 3:] * self._head_mask(box)
            scenes[chosen] = rgba[:, :3] * alpha + scenes[chosen] * (1 - alpha)
            new_boxes[chosen, 0] = box
        return scenes, torch.cat([boxes, new_boxes], dim=1)

    def _head_mask(self, box: Tensor) -> Tensor:
        """[B, 1, 192, 192] for half of the scenes a soft ellipse around the head, else all of the tile."""
        size = len(box)
        axis = torch.arange(SCENE_PX) + 0.5
        x = (axis[None, None, :] - (box[:, 0] + box[:, 2] / 2)[:, None, None]) / (box[:, 2] / 2)[:, None, None]
        y = (axis[None, :, None] - (box[:, 1] + box[:, 3] / 2)[:, None, None]) / (box[:, 3] / 2)[:, None, None]
        ellipse = torch.sigmoid((1 - (x / 1.45) ** 2 - ((y + 0.25) / 1.6) ** 2) * 12)
        is_cut = (torch.rand(size, generator=self._random) < 0.5)[:, None, None]
        return torch.where(is_cut, ellipse, torch.ones_like(ellipse))[:, None]


def points_to_boxes(points: Tensor) -> Tensor:
    """[B, 68, 2] to [B, 4] x, y, width, height."""
    low, high = points.amin(dim=1), points.amax(dim=1)
    return torch.cat([low, high - low], dim=1)


def covers_any(box: Tensor, boxes: Tensor, margin: float = 0.6) -> Tensor:
    """[B] whether a box with room for the hair touches one of its scene's boxes."""
    if boxes.shape[1] == 0:
        return torch.zeros(len(box), dtype=torch.bool)
    grown = torch.cat([box[:, :2] - margin * box[:, 2:], box[:, 2:] * (1 + 2 * margin)], dim=1)[:, None]
    low = torch.maximum(grown[..., :2], boxes[..., :2])
    high = torch.minimum(grown[..., :2] + grown[..., 2:], boxes[..., :2] + boxes[..., 2:])
    return ((high > low).all(dim=2) & (boxes[..., 2] > 0)).any(dim=1)


def make_targets(scenes: Tensor, boxes: Tensor) -> FinderBatch:
    """Maps to learn from boxes [B, N, 4] in pixels; boxes of width 0 or with the centre outside are left out."""
    size = len(scenes)
    heat = torch.zeros(size, 1, SCENE_CELLS, SCENE_CELLS)
    log_size, offset = torch.zeros(size, 2, SCENE_CELLS, SCENE_CELLS), torch.zeros(size, 2, SCENE_CELLS, SCENE_CELLS)
    size_mask, centre_mask = torch.zeros_like(heat), torch.zeros_like(heat)
    cells = torch.arange(SCENE_CELLS)
    for scene, box in torch.nonzero(boxes[..., 2] > 0).tolist():
        x, y, width, height = (boxes[scene, box] / STRIDE).tolist()
        cx, cy = x + width / 2, y + height / 2
        column, row = math.floor(cx), math.floor(cy)
        if not (0 <= column < SCENE_CELLS and 0 <= row < SCENE_CELLS):
            continue
        sigma = max(0.5, 0.07 * max(width, height))
        bump = torch.exp(-((cells[None, :] - column) ** 2 + (cells[:, None] - row) ** 2) / (2 * sigma**2))
        heat[scene, 0] = torch.maximum(heat[scene, 0], bump)
        near = (slice(max(0, row - 1), row + 2), slice(max(0, column - 1), column + 2))
        log_size[scene, 0][near], log_size[scene, 1][near] = math.log(width), math.log(height)
        size_mask[scene, 0][near] = 1
        offset[scene, :, row, column] = torch.tensor([cx - column, cy - row])
        centre_mask[scene, 0, row, column] = 1
    return FinderBatch(scenes, heat, log_size, size_mask, offset, centre_mask)
