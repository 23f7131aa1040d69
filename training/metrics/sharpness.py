"""Sharpness: energy above a quarter of the sampling rate, drawn over true, within a box: 1 is as sharp as the original.

PSNR and SSIM forgive blur; this does not. Below about 0.8 a face looks soft, above 1.2 it is noisy. "Sampling rate"
is one sample per pixel, so the band is 0.25 to 0.5 (0.71 on the diagonal) cycles per pixel.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.metrics.result import check_same_frames

BAND_EDGE_CYCLES_PER_PX = 0.25
_LUMA = (0.299, 0.587, 0.114)

Box = tuple[int, int, int, int]
"""left, top, right, bottom in pixels; right and bottom excluded."""


def high_band_energy(frames: Tensor) -> Tensor:
    """Energy of luma at radial frequencies above BAND_EDGE_CYCLES_PER_PX, per frame.

    A Hann window keeps the picture's edges, which the transform wraps around, from counting as detail.

    Args:
        frames: [T, 3, H, W] in [0, 1]; H and W at least 8.

    Returns:
        [T], mean square in units of the Hann-weighted picture.
    """
    height, width = frames.shape[-2:]
    if min(height, width) < 8:
        raise ValueError(f"high_band_energy: box of {width}x{height} pixels is too small, 8x8 is the least")
    weights = torch.tensor(_LUMA, dtype=frames.dtype, device=frames.device).reshape(1, 3, 1, 1)
    luma = (frames * weights).sum(1)  # [T, H, W]
    luma = luma - luma.mean(dim=(1, 2), keepdim=True)
    window = torch.outer(
        torch.hann_window(height, periodic=False, dtype=frames.dtype, device=frames.device),
        torch.hann_window(width, periodic=False, dtype=frames.dtype, device=frames.device),
    )
    spectrum = torch.fft.fft2(luma * window, norm="ortho")
    fy = torch.fft.fftfreq(height, device=frames.device)[:, None]
    fx = torch.fft.fftfreq(width, device=frames.device)[None]
    band = (fy.square() + fx.square()).sqrt() > BAND_EDGE_CYCLES_PER_PX
    return (spectrum.abs().square() * band).mean(dim=(1, 2))


def high_band_ratio(real: Tensor, fake: Tensor, box: Box | None = None) -> float:
    """Σ_t energy(fake) / Σ_t energy(real) above the band edge, within `box` (None: whole frame).

    Args:
        real, fake: [T, 3, H, W] in [0, 1].

    Returns:
        The ratio; infinite when the original has no energy there.
    """
    check_same_frames("high_band_ratio", real, fake)
    if box is not None:
        left, top, right, bottom = box
        real, fake = real[..., top:bottom, left:right], fake[..., top:bottom, left:right]
    reference = float(high_band_energy(real).sum())
    return float(high_band_energy(fake).sum()) / reference if reference > 0 else float("inf")


def box_around(points: Tensor, indices: range, size_px: int, scale: float = 1.2) -> Box:
    """The box around some landmarks over a whole clip, enlarged by `scale` about its centre, within the frame.

    Args:
        points: [T, 68, 2] pixels.
        indices: landmarks to enclose.
        size_px: side of the square frame.
    """
    chosen = points[:, list(indices)].reshape(-1, 2)
    low, high = chosen.min(0).values, chosen.max(0).values
    centre, half = (low + high) / 2, ((high - low) / 2 * scale).clamp_min(4)
    left, top = (centre - half).floor().clamp(0, size_px - 8).int().tolist()
    right, bottom = (centre + half).ceil().clamp(8, size_px).int().tolist()
    return left, top, max(right, left + 8), max(bottom, top + 8)
