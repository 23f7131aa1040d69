"""Losses on the Fourier transform: they cost nearly nothing and see what a pixel loss averages away.

A mean over pixels is content with a blur; in the spectrum a missing texture is a missing coefficient. Shapes: N
pictures of r x r, values in [-1, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor

WATSON_BLOCK_PX = 8
MASKING = 0.7
"""Watson's exponent: what a coefficient hides grows with its own strength."""
VISIBLE = 0.02
"""Least amplitude of a block's coefficient (orthonormal, range 2) that is seen at the lowest frequency."""
_FLOOR = 1e-8


def focal_frequency(real: Tensor, fake: Tensor) -> Tensor:
    """Focal frequency loss (Jiang et al., ICCV 2021) with α = 1, [N].

        w(u, v) = |X(u, v) - X̂(u, v)| / max over u, v          (no gradient)
        loss = mean over u, v and channels of w |X - X̂|²

    with the orthonormal transform of each channel: what is far off weighs most, so that a rare frequency is not drowned
    by many that are right already.
    """
    difference = torch.fft.rfft2((real - fake).float(), norm="ortho")
    power = difference.real.square() + difference.imag.square()  # [N, 3, r, r/2 + 1]
    with torch.no_grad():
        size = power.sqrt()
        focus = size / size.amax(dim=(2, 3), keepdim=True).clamp_min(_FLOOR)
        # Half of the spectrum stands for all of it: inner columns count twice.
        columns = torch.full((power.shape[3],), 2.0, device=power.device)
        columns[0] = 1.0
        if real.shape[3] % 2 == 0:
            columns[-1] = 1.0
    return (power * focus * columns).sum(dim=(2, 3)).mean(dim=1) / (real.shape[2] * real.shape[3])


def watson_dft(real: Tensor, fake: Tensor, block_px: int = WATSON_BLOCK_PX) -> Tensor:
    """Simplified Watson-DFT distance (Czolbe et al., NeurIPS 2020) of luma, [N].

    In blocks of 8 x 8 that overlap by half, under a Hann window: amplitudes differ by as much as is seen, which grows
    with frequency and with the true coefficient's own strength (contrast masking). Where a texture lies within its
    block does not matter: phases are left to the pixel losses.

        s(u, v) = max(t(u, v), t^0.3 |A|^0.7)       t(u, v) = VISIBLE (1 + (u² + v²) / 4)
        loss = mean over blocks and u, v of √(1 + ((|A| - |Â|) / s)²) - 1
    """
    block_px = min(block_px, real.shape[-1])
    t = _visible(block_px, real)
    true, drawn = (_block_amplitudes(p, block_px) for p in (real, fake))
    with torch.no_grad():
        true = true.detach()
        hidden = torch.maximum(t, t ** (1 - MASKING) * true**MASKING)
    return (((true - drawn) / hidden).square() + 1).sqrt().sub(1).mean(dim=(1, 2, 3))


def _visible(block_px: int, like: Tensor) -> Tensor:
    """[b, b/2 + 1] least visible amplitude of each frequency of a block."""
    u = torch.fft.fftfreq(block_px, 1 / block_px, device=like.device)
    v = torch.fft.rfftfreq(block_px, 1 / block_px, device=like.device)
    return VISIBLE * (1 + (u[:, None] ** 2 + v[None] ** 2) / 4)


def _block_amplitudes(pictures: Tensor, block_px: int) -> Tensor:
    """[N, 3, r, r] to [N, blocks, b, b/2 + 1]: amplitudes of luma in overlapping windowed blocks."""
    luma = pictures.float().mul(pictures.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(dim=1)
    blocks = luma.unfold(1, block_px, block_px // 2).unfold(2, block_px, block_px // 2).flatten(1, 2)
    window = torch.hann_window(block_px, device=pictures.device)
    spectra = torch.fft.rfft2(blocks * window[:, None] * window[None], norm="ortho")
    return (spectra.real.square() + spectra.imag.square() + _FLOOR).sqrt()
