"""Pictures without a face: procedural textures and face-free pieces of the training frames.

They fill what lies outside a tile, hide parts of faces, and teach both networks what is not a face.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

TEXTURE_PX = 160


def _resize(array: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Bicubic enlargement of a small [h, w, 3] array of 0..1 to [side, side, 3]."""
    image = Image.fromarray((array.clip(0, 1) * 255).astype(np.uint8))
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC), dtype=np.float64) / 255


def cloud(rng: np.random.Generator, side: int = TEXTURE_PX) -> NDArray[np.float64]:
    """Noise of several octaves between two colours."""
    total = np.zeros((side, side, 3))
    for octave in range(int(rng.integers(1, 7))):
        cells = 2 ** (octave + 1)
        total += _resize(rng.random((cells, cells, 1)).repeat(3, axis=2), side) / 1.6**octave
    total = (total - total.min()) / (np.ptp(total) + 1e-6)
    first, second = rng.random(3), rng.random(3)
    return first * total + second * (1 - total)


def stripes(rng: np.random.Generator, side: int = TEXTURE_PX) -> NDArray[np.float64]:
    """Waves or bars in one or two directions: curtains, blinds, shirts, tiles."""
    y, x = np.mgrid[0:side, 0:side] / side
    value = np.ones((side, side))
    for _ in range(int(rng.integers(1, 3))):
        angle, pitch = rng.uniform(0, np.pi), rng.uniform(2, 24)
        wave = np.sin(2 * np.pi * pitch * (x * np.cos(angle) + y * np.sin(angle)) + rng.uniform(0, 6))
        value = value * (wave if rng.random() < 0.5 else np.sign(wave))
    value = (value[..., None] + 1) / 2
    return rng.random(3) * value + rng.random(3) * (1 - value)


def shapes(rng: np.random.Generator, side: int = TEXTURE_PX) -> NDArray[np.float64]:
    """Overlapping ellipses, boxes and lines on a plain ground: furniture, hands, balls, text-like strokes."""
    image = Image.new("RGB", (side, side), tuple(int(v) for v in rng.integers(0, 256, 3)))
    draw = ImageDraw.Draw(image)
    # Half of them in skin colours, or every brownish ellipse becomes a face.
    skin = np.array([205, 160, 130]) * rng.uniform(0.3, 1.2)
    for _ in range(int(rng.integers(2, 16))):
        base = skin + rng.normal(0, 18, 3) if rng.random() < 0.5 else rng.integers(0, 256, 3)
        colour = tuple(int(v) for v in np.clip(base, 0, 255))
        x, y = rng.integers(-20, side, 2)
        w, h = rng.integers(3, side // 2, 2)
        kind = rng.integers(0, 3)
        if kind == 0:
            draw.ellipse((x, y, x + w, y + h), fill=colour)
        elif kind == 1:
            draw.rectangle((x, y, x + w, y + h), fill=colour)
        else:
            draw.line((x, y, *rng.integers(0, side, 2).tolist()), fill=colour, width=int(rng.integers(1, 20)))
    return np.asarray(image, dtype=np.float64) / 255


def face_free_piece(
    rng: np.random.Generator, frame: NDArray[np.uint8], points: NDArray[np.float32], side: int = TEXTURE_PX
) -> NDArray[np.float64] | None:
    """A square of a frame that misses the face (hair and neck may show), enlarged; None when no place was found."""
    height, width = frame.shape[:2]
    low, high = points.min(axis=0), points.max(axis=0)
    for _ in range(12):
        size = int(rng.integers(24, max(25, min(height, width) // 2)))
        x, y = int(rng.integers(0, width - size + 1)), int(rng.integers(0, height - size + 1))
        if x + size < low[0] or x > high[0] or y + size < low[1] or y > high[1]:
            return _resize(frame[y : y + size, x : x + size] / 255.0, side)
    return None


def scramble(rng: np.random.Generator, picture: NDArray[np.uint8], cells: int = 4) -> NDArray[np.uint8]:
    """The patches of a face picture in random order: face texture without a face. Side divisible by `cells`."""
    side = picture.shape[0] // cells
    grid = picture.reshape(cells, side, cells, side, 3).transpose(0, 2, 1, 3, 4).reshape(cells * cells, side, side, 3)
    grid = grid[rng.permutation(cells * cells)]
    return grid.reshape(cells, cells, side, side, 3).transpose(0, 2, 1, 3, 4).reshape(picture.shape)


def texture_pool(
    rng: np.random.Generator,
    num_textures: int,
    frames: list[tuple[NDArray[np.uint8], NDArray[np.float32]]],
) -> NDArray[np.uint8]:
    """[num_textures, 160, 160, 3] pictures without a face; about half are pieces of the frames given."""
    makers = (cloud, stripes, shapes)
    pool = np.empty((num_textures, TEXTURE_PX, TEXTURE_PX, 3), dtype=np.uint8)
    for index in range(num_textures):
        piece = None
        if frames and rng.random() < 0.5:
            piece = face_free_piece(rng, *frames[int(rng.integers(len(frames)))])
        if piece is None:
            piece = makers[int(rng.integers(len(makers)))](rng)
            if rng.random() < 0.3:  # two textures in one picture, cut by a straight line
                other = makers[int(rng.integers(len(makers)))](rng)
                cut = int(rng.integers(20, TEXTURE_PX - 20))
                piece[:, cut:] = other[:, cut:]
        pool[index] = (piece.clip(0, 1) * 255).astype(np.uint8)
    return pool
