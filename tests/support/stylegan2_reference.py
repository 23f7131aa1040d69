"""The official StyleGAN2 forward pass, slow and plain: what the fast layers and loaded checkpoints are compared with.

Written from the papers and the published code's definitions, sharing nothing with `generator.py`: weights are
modulated one sample at a time, upsampling inserts zeros and filters by an explicit sum. Works on NVIDIA's PyTorch
names. Shapes: B batch, C channels, L layers, D latent dimension.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

TAPS = (1.0, 3.0, 3.0, 1.0)


def upfirdn2d(x: Tensor, *, up: int, padding: tuple[int, int], gain: float) -> Tensor:
    """Insert zeros, pad, filter with the normalised [1, 3, 3, 1] kernel (Karras et al. 2021, upfirdn2d).

    Args:
        x: [B, C, H, W].
        up: each pixel is followed by up - 1 zeros in both directions.
        padding: zeros before and after, in both directions.
    """
    batch, channels, height, width = x.shape
    spread = x.new_zeros(batch, channels, height * up, width * up)
    spread[:, :, ::up, ::up] = x
    spread = F.pad(spread, (padding[0], padding[1], padding[0], padding[1]))
    taps = torch.tensor(TAPS, dtype=x.dtype)
    taps = taps / taps.sum()
    rows = spread.shape[2] - 3
    columns = spread.shape[3] - 3
    out = x.new_zeros(batch, channels, rows, columns)
    for i in range(4):
        for j in range(4):
            out += taps[3 - i] * taps[3 - j] * spread[:, :, i : i + rows, j : j + columns]
    return out * gain


def modulated_conv2d(x: Tensor, weight: Tensor, styles: Tensor, *, demodulate: bool, up: int = 1) -> Tensor:
    """Scale the weights by the style, normalise them, convolve (StyleGAN2, equations 1 to 3).

    Args:
        x: [B, in, H, W]; weight: [out, in, k, k]; styles: [B, in].
    """
    pictures = []
    for sample, style in zip(x, styles, strict=True):
        w = weight * style[None, :, None, None]
        if demodulate:
            w = w / torch.sqrt(w.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8)
        if up == 1:
            pictures.append(F.conv2d(sample[None], w, padding=weight.shape[2] // 2))
            continue
        # Upsampling layer: zeros between the pixels, a true convolution (kernel turned), then the low-pass filter.
        channels, height, width = sample.shape
        spread = sample.new_zeros(1, channels, 2 * height - 1, 2 * width - 1)
        spread[0, :, ::2, ::2] = sample
        full = F.conv2d(F.pad(spread, (2, 2, 2, 2)), w.flip([2, 3]))
        pictures.append(upfirdn2d(full, up=1, padding=(1, 1), gain=4.0))
    return torch.cat(pictures)


def lrelu(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x) * math.sqrt(2.0)


def mapping(state: dict[str, Tensor], z: Tensor) -> Tensor:
    """z [B, D] -> w [B, D]: second moment normalised, then layers with a learning rate multiplier of 0.01."""
    x = z / torch.sqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)
    index = 0
    while f"mapping.fc{index}.weight" in state:
        weight, bias = state[f"mapping.fc{index}.weight"], state[f"mapping.fc{index}.bias"]
        x = lrelu(x @ (weight * 0.01 / math.sqrt(weight.shape[1])).t() + bias * 0.01)
        index += 1
    return x


def _affine(state: dict[str, Tensor], prefix: str, w: Tensor) -> Tensor:
    weight = state[f"{prefix}.affine.weight"]
    return w @ (weight / math.sqrt(weight.shape[1])).t() + state[f"{prefix}.affine.bias"]


def _layer(state: dict[str, Tensor], prefix: str, x: Tensor, w: Tensor, up: int) -> Tensor:
    y = modulated_conv2d(x, state[f"{prefix}.weight"], _affine(state, prefix, w), demodulate=True, up=up)
    y = y + state[f"{prefix}.noise_const"] * state[f"{prefix}.noise_strength"]
    return lrelu(y + state[f"{prefix}.bias"][None, :, None, None])


def _to_rgb(state: dict[str, Tensor], prefix: str, x: Tensor, w: Tensor) -> Tensor:
    weight = state[f"{prefix}.weight"]
    styles = _affine(state, prefix, w) / math.sqrt(weight.shape[1] * weight.shape[2] ** 2)
    return modulated_conv2d(x, weight, styles, demodulate=False) + state[f"{prefix}.bias"][None, :, None, None]


def synthesis(state: dict[str, Tensor], ws: Tensor) -> Tensor:
    """ws [B, L, D] -> pictures [B, 3, R, R], with the constant noise of the checkpoint."""
    x = state["synthesis.b4.const"].expand(ws.shape[0], -1, -1, -1)
    x = _layer(state, "synthesis.b4.conv1", x, ws[:, 0], up=1)
    picture = _to_rgb(state, "synthesis.b4.torgb", x, ws[:, 1])
    resolution, index = 8, 1
    while f"synthesis.b{resolution}.conv0.weight" in state:
        block = f"synthesis.b{resolution}"
        x = _layer(state, f"{block}.conv0", x, ws[:, index], up=2)
        x = _layer(state, f"{block}.conv1", x, ws[:, index + 1], up=1)
        picture = upfirdn2d(picture, up=2, padding=(2, 1), gain=4.0)
        picture = picture + _to_rgb(state, f"{block}.torgb", x, ws[:, index + 2])
        resolution, index = resolution * 2, index + 2
    return picture
