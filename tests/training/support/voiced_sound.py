"""Sound of which it is known where somebody speaks and where he only breathes."""

from __future__ import annotations

import numpy as np
import torch


def sound(*stretches: tuple[int, int], breath: tuple[int, int] | None = None, frames: int = 75) -> torch.Tensor:
    """[S] at 16 kHz: 200 Hz in the stretches (frames, last included), noise above 2 kHz in `breath`."""
    time = np.arange(frames * 640) / 16_000
    signal = np.zeros(len(time))
    for first, last in stretches:
        signal[first * 640 : (last + 1) * 640] = np.sin(2 * np.pi * 200 * time[first * 640 : (last + 1) * 640])
    if breath is not None:
        part = slice(breath[0] * 640, (breath[1] + 1) * 640)
        signal[part] += sum(np.sin(2 * np.pi * f * time[part]) for f in (2500, 3100, 4700))
    return torch.from_numpy(signal)
