"""Many pictures in one, for people to look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from talkface_core.whole_file import write_whole


def contact_sheet(rows: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Rows of [N, R, R, 3] pictures to one picture."""
    width = max(len(row) for row in rows)
    sheet = [np.concatenate([*row, *[np.zeros_like(row[0])] * (width - len(row))], axis=1) for row in rows if len(row)]
    return np.concatenate(sheet, axis=0)


def write_png(path: Path, picture: NDArray[np.uint8]) -> None:
    """[H, W, 3] uint8 to a file.

    Raises:
        OSError: it cannot be written; an earlier file is as it was.
    """
    from torchvision.io import encode_png

    pixels = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)
    write_whole(path, encode_png(pixels).numpy().tobytes())
