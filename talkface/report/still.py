"""One frame of a written MP4, for the report's page."""

from __future__ import annotations

from pathlib import Path

import av
import av.error
import numpy as np
from numpy.typing import NDArray


def read_still(path: Path, at_share: float = 0.4) -> NDArray[np.uint8] | None:
    """The frame at a share of the file's length.

    Returns:
        [H, W, 3] uint8 RGB, or None when the file holds no frame that can be read.
    """
    chosen: av.VideoFrame | None = None
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                return None
            length_s = float(container.duration or 0) / 1_000_000
            for frame in container.decode(video=0):
                chosen = frame
                if frame.time is not None and frame.time >= length_s * at_share:
                    break
    except (OSError, av.error.FFmpegError):
        pass  # a recording that broke off: a frame from before the break does
    return None if chosen is None else np.asarray(chosen.to_ndarray(format="rgb24"), np.uint8)
