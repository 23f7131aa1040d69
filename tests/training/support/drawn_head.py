"""A picture of a drawn head that `colour_eye` finds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIZE = 192


def head(shift: float) -> NDArray[np.uint8]:
    """[192, 192, 3]: skin, mouth, background."""
    ys, xs = np.mgrid[0:SIZE, 0:SIZE]
    out = np.stack([xs * 0.3 + 90, ys * 0.3 + 60, np.full_like(xs, 90)], axis=-1)
    out[((xs - SIZE / 2 - shift) / 26) ** 2 + ((ys - 90) / 34) ** 2 < 1] = [200, 160, 140]
    out[((xs - SIZE / 2 - shift) / 8) ** 2 + ((ys - 108) / 4) ** 2 < 1] = [120, 20, 30]
    return out.astype(np.uint8)
