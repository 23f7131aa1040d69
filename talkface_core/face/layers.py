"""Layers that generator, discriminator and encoders share: equalised learning rate, FIR resampling, activation.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (StyleGAN2), appendix B; equalised learning
rate from Karras et al., "Progressive Growing of GANs", section 4.1.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FIR_TAPS = (1.0, 3.0, 3.0, 1.0)
"""Binomial low-pass filter around every change of resolution; the official default."""
LRELU_SLOPE = 0.2
LRELU_GAIN = math.sqrt(2.0)
"""Keeps the variance of a unit normal through a leaky ReLU of slope 0.2."""


def scaled_leaky_relu(x: Tensor) -> Tensor:
    """Leaky ReLU with slope 0.2, times sqrt(2)."""
    return F.leaky_relu(x, LRELU_SLOPE) * LRELU_GAIN


def fir_kernel(gain: float = 1.0) -> Tensor:
    """The separable low-pass filter as [4, 4] float32, summing to `gain`."""
    taps = torch.tensor(FIR_TAPS)
    kernel = torch.outer(taps, taps)
    return kernel * (gain / kernel.sum())


def depthwise(kernel: Tensor, like: Tensor) -> Tensor:
    """[k, k] to [C, 1, k, k] for a grouped convolution over `like` [B, C, H, W], in its dtype."""
    return kernel.to(like.dtype).expand(like.shape[1], 1, *kernel.shape)


def blur(x: Tensor, kernel: Tensor, padding: int) -> Tensor:
    """FIR filter every channel of [B, C, H, W]; output is H + 2 * padding - 3 high."""
    return F.conv2d(x, depthwise(kernel, x), padding=padding, groups=x.shape[1])


def upsample2(x: Tensor) -> Tensor:
    """[B, C, H, W] to [B, C, 2H, 2W] by the FIR filter: the official upfirdn2d(up=2, pad=(2, 1), gain=4).

    With the taps 1, 3, 3, 1 that is bilinear interpolation with zeros around the picture, which every runtime has a
    fast kernel for; as a depthwise transposed convolution it took half of the time of a whole frame in OpenVINO.
    """
    padded = F.interpolate(F.pad(x, (1, 1, 1, 1)), scale_factor=2, mode="bilinear", align_corners=False)
    return padded[..., 2:-2, 2:-2]


def downsample2(x: Tensor, kernel: Tensor) -> Tensor:
    """[B, C, 2H, 2W] to [B, C, H, W] with a FIR `kernel` that sums to 1."""
    return F.conv2d(x, depthwise(kernel, x), stride=2, padding=1, groups=x.shape[1])


class EqualizedLinear(nn.Module):
    """Fully connected layer whose stored weights are unit normal; the He scale is applied in the forward pass.

    Shapes: [..., in_features] -> [..., out_features].
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        lr_multiplier: float = 1.0,
        bias_init: float = 0.0,
        activate: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((out_features,), bias_init / lr_multiplier))
        self.weight_gain = lr_multiplier / math.sqrt(in_features)
        self.bias_gain = lr_multiplier
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(x, self.weight * self.weight_gain, self.bias * self.bias_gain)
        return scaled_leaky_relu(y) if self.activate else y


class EqualizedConv2d(nn.Module):
    """Same-size convolution, optionally followed by a FIR-filtered halving, with equalised learning rate.

    Shapes: [B, in_channels, H, W] -> [B, out_channels, H, W], or H/2 x W/2 with `down`.
    """

    fir: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        down: bool = False,
        bias: bool = True,
        activate: bool = True,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.weight_gain = 1.0 / math.sqrt(in_channels * kernel_size**2)
        self.kernel_size = kernel_size
        self.down = down
        self.activate = activate
        self.gain = gain
        self.register_buffer("fir", fir_kernel(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.weight_gain
        if self.down and self.kernel_size == 1:
            # Filter and decimate first: a 1x1 convolution commutes with both and is four times cheaper after them.
            x = downsample2(x, self.fir)
            y = F.conv2d(x, weight)
        elif self.down:
            y = F.conv2d(blur(x, self.fir, padding=2), weight, stride=2)
        else:
            y = F.conv2d(x, weight, padding=self.kernel_size // 2)
        if self.bias is not None:
            y = y + self.bias.to(y.dtype).view(1, -1, 1, 1)
        if self.activate:
            y = scaled_leaky_relu(y)
        return y * self.gain if self.gain != 1.0 else y
