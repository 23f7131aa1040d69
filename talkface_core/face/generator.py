"""G: the StyleGAN2 generator that maps summed latents to frames (paper III.F, eq. 6).

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN": weight demodulation (eq. 1-3), skip outputs
(fig. 7). m = e + z + d (eq. 5) enters as w, the same vector for every layer, plus what an identity adds per layer.

Shapes: B batch, D latent dimension, L = 2 log2(R) - 2 layers, R resolution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from talkface_core.face.layers import LRELU_GAIN, LRELU_SLOPE, EqualizedLinear, blur, fir_kernel, upsample2

_LIMITS = {"latent_dim": 1024, "channel_base": 65_536, "channel_max": 1024, "mapping_layers": 32}
"""Twice what any published generator has; sizes come out of files."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GeneratorConfig:
    """Sizes of G."""

    resolution_px: int = 256
    """Output is resolution x resolution; a power of two from 8 to 1024."""
    latent_dim: int = 512
    """D; 512 in the paper and in the official checkpoints."""
    channel_base: int = 8192
    """Channels at resolution r are channel_base / r, at most channel_max. Official: 16384 at 256 px, 32768 above."""
    channel_max: int = 256
    """Official: 512."""
    mapping_layers: int = 8
    """Layers of the mapping network z -> w. Official: 8 (2 in some ADA configurations)."""

    def __post_init__(self) -> None:
        for field in (field.name for field in fields(self)):
            if type(getattr(self, field)) is not int:
                raise ValueError(f"{field} must be a whole number, not {getattr(self, field)!r:.40}")
        if self.resolution_px not in (8, 16, 32, 64, 128, 256, 512, 1024):
            raise ValueError(f"resolution_px must be a power of two from 8 to 1024, not {self.resolution_px}")
        for field, limit in _LIMITS.items():
            if not 1 <= getattr(self, field) <= limit:
                raise ValueError(f"{field} must be 1 to {limit}, not {getattr(self, field)}")

    @property
    def block_resolutions(self) -> list[int]:
        """4, 8, ..., resolution_px."""
        return [2**i for i in range(2, int(math.log2(self.resolution_px)) + 1)]

    @property
    def num_layers(self) -> int:
        """L: latents that one frame consumes (14 at 256 px); each output layer shares the next block's first."""
        return 2 * int(math.log2(self.resolution_px)) - 2

    def channels(self, resolution_px: int) -> int:
        """Feature maps at one resolution."""
        return min(self.channel_base // resolution_px, self.channel_max)


@dataclass(frozen=True, slots=True)
class Window:
    """A square part of the picture that alone is drawn in full, to train the costly fine layers on part of each frame.

    Layers up to `coarse_px` see everything; what follows is cut down to the part and a margin around it, because
    convolutions at a cut see zeros where the rest of the picture would be.
    """

    coarse_px: int
    """Last resolution that is drawn whole."""
    top: int
    left: int
    size: int
    """The part wanted, in pixels of `coarse_px`."""

    MARGIN = 4
    """Pixels of `coarse_px` around it: two blocks of an upsampling and a 3x3 layer each reach 3 pixels far."""

    @property
    def outer_size(self) -> int:
        """Side of what is computed, in pixels of `coarse_px`; the same for every place, so that shapes never change."""
        return min(self.coarse_px, self.size + 2 * self.MARGIN)

    @property
    def outer_corner(self) -> tuple[int, int]:
        """Its top left corner: margins shift inwards at the picture's edge."""
        last = self.coarse_px - self.outer_size
        return min(max(self.top - self.MARGIN, 0), last), min(max(self.left - self.MARGIN, 0), last)

    def cut_outer(self, x: Tensor) -> Tensor:
        """The part with its margin of maps [..., H, W] of the whole picture, at any resolution from `coarse_px` on."""
        (top, left), scale = self.outer_corner, x.shape[-1] // self.coarse_px
        return _square(x, top * scale, left * scale, self.outer_size * scale)

    def trim(self, x: Tensor) -> Tensor:
        """The part of maps [..., H, W] that have its margin still on."""
        (top, left), scale = self.outer_corner, x.shape[-1] // self.outer_size
        return _square(x, (self.top - top) * scale, (self.left - left) * scale, self.size * scale)

    def cut(self, x: Tensor) -> Tensor:
        """The part of maps [..., H, W] of the whole picture."""
        scale = x.shape[-1] // self.coarse_px
        return _square(x, self.top * scale, self.left * scale, self.size * scale)


def _square(x: Tensor, top: int, left: int, side: int) -> Tensor:
    return x[..., top : top + side, left : left + side]


class MappingNetwork(nn.Module):
    """z -> w: unit-length normalisation, then fully connected layers with a hundredth of the learning rate.

    Shapes: [B, D] -> [B, D].
    """

    mean_latent: Tensor

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        dim = config.latent_dim
        self.layers = nn.ModuleList(
            EqualizedLinear(dim, dim, lr_multiplier=0.01, activate=True) for _ in range(config.mapping_layers)
        )
        self.register_buffer("mean_latent", torch.zeros(dim))

    def forward(self, z: Tensor, *, truncation_psi: float = 1.0) -> Tensor:
        """truncation_psi < 1 pulls w towards the mean latent (StyleGAN, appendix B)."""
        x = z * (z.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()
        for layer in self.layers:
            x = layer(x)
        return torch.lerp(self.mean_latent, x, truncation_psi) if truncation_psi != 1.0 else x

    @torch.no_grad()
    def track_mean(self, w: Tensor, *, decay: float = 0.998) -> None:
        """Move the mean latent towards the mean of a training batch w [B, D]."""
        self.mean_latent.lerp_(w.detach().float().mean(dim=0), 1.0 - decay)


class ModulatedConv2d(nn.Module):
    """Convolution whose weights are scaled by a style and demodulated to unit expected output variance.

    The style multiplies the input and the demodulation the output, which equals scaling the weights (StyleGAN2
    section 2.2) and lets one plain convolution serve the whole batch. Both factors are computed in float32.

    Shapes: x [B, in, H, W], w [B, D] -> [B, out, H, W], or 2H x 2W with `up`.
    """

    fir: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        latent_dim: int,
        *,
        up: bool = False,
        demodulate: bool = True,
    ) -> None:
        super().__init__()
        self.affine = EqualizedLinear(latent_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.weight_gain = 1.0 / math.sqrt(in_channels * kernel_size**2)
        self.kernel_size = kernel_size
        self.up = up
        self.demodulate = demodulate
        self.register_buffer("fir", fir_kernel(gain=4.0), persistent=False)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        y, demodulation = self.convolve(x, w)
        return y if demodulation is None else y * demodulation.to(y.dtype)[:, :, None, None]

    def convolve(self, x: Tensor, w: Tensor) -> tuple[Tensor, Tensor | None]:
        """The result before demodulation, and the factors [B, out] float32, so that a caller can fuse them."""
        style = self.affine(w).float()  # [B, in]
        weight = self.weight * self.weight_gain
        y = x * style.to(x.dtype)[:, :, None, None]
        if self.up:
            # The FIR filter after the stride-2 transposed convolution stands for bilinear upsampling before it.
            y = F.conv_transpose2d(y, weight.transpose(0, 1).to(x.dtype), stride=2)
            y = blur(y, self.fir, padding=1)
        else:
            y = F.conv2d(y, weight.to(x.dtype), padding=self.kernel_size // 2)
        if not self.demodulate:
            return y, None
        energy = style.square() @ weight.float().square().sum(dim=(2, 3)).t()  # [B, out]
        return y, (energy + 1e-8).rsqrt()


class SynthesisLayer(nn.Module):
    """Modulated convolution, fixed noise, bias, activation. The noise never changes, so that nothing flickers."""

    noise: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, resolution_px: int, latent_dim: int, *, up: bool = False
    ) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(in_channels, out_channels, 3, latent_dim, up=up)
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", torch.randn(resolution_px, resolution_px))

    def learn_noise(self) -> None:
        """Make the noise a parameter, scaled so that it acts as before with a strength of 1.

        Trained for one person it is a memory of what stands still (an addition; the network still draws the paper's
        G(m)): background and clothes need not be told by the latent in every frame.
        """
        noise = self.noise * self.noise_strength.detach()
        del self._buffers["noise"]
        self.noise = nn.Parameter(noise)
        nn.init.ones_(self.noise_strength)

    def forward(self, x: Tensor, w: Tensor, window: Window | None = None) -> Tensor:
        y, demodulation = self.conv.convolve(x, w)
        assert demodulation is not None
        noise = self.noise if window is None else window.cut_outer(self.noise)
        # A leaky ReLU commutes with its positive gain, and noise and bias are the same for the whole batch: two passes
        # over the large maps instead of five, which is what the fine layers spend their time on. torch.addcmul would
        # be one pass here, but makes OpenVINO change the maps' layout twice per layer: a third of a frame's time.
        shift = (noise * self.noise_strength + self.bias.view(1, -1, 1, 1)) * LRELU_GAIN
        scale = (demodulation * LRELU_GAIN)[:, :, None, None]
        if y.is_contiguous(memory_format=torch.channels_last):
            shift = shift.contiguous(memory_format=torch.channels_last)
        return F.leaky_relu(y * scale.to(y.dtype) + shift.to(y.dtype), LRELU_SLOPE)


class ToRgb(nn.Module):
    """1x1 modulated convolution to three channels, without demodulation."""

    def __init__(self, in_channels: int, latent_dim: int) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(in_channels, 3, 1, latent_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return (self.conv(x, w) + self.bias.to(x.dtype).view(1, -1, 1, 1)).float()


class SynthesisBlock(nn.Module):
    """One resolution: upsampling layer (absent at 4x4), layer, and the picture's share of this resolution."""

    def __init__(self, in_channels: int, out_channels: int, resolution_px: int, latent_dim: int) -> None:
        super().__init__()
        self.up_layer = (
            SynthesisLayer(in_channels, out_channels, resolution_px, latent_dim, up=True) if in_channels else None
        )
        self.layer = SynthesisLayer(out_channels, out_channels, resolution_px, latent_dim)
        self.to_rgb = ToRgb(out_channels, latent_dim)


class SynthesisNetwork(nn.Module):
    """w per layer -> picture, growing from a learned 4x4 constant; pictures of all resolutions are summed."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.constant = nn.Parameter(torch.randn(config.channels(4), 4, 4))
        self.blocks = nn.ModuleList()
        in_channels = 0
        for resolution in config.block_resolutions:
            out_channels = config.channels(resolution)
            self.blocks.append(SynthesisBlock(in_channels, out_channels, resolution, config.latent_dim))
            in_channels = out_channels

    def forward(
        self,
        ws: Tensor,
        *,
        dtype: torch.dtype = torch.float32,
        max_resolution_px: int | None = None,
        window: Window | None = None,
    ) -> Tensor:
        """Draw pictures.

        Args:
            ws: [B, L, D] float32, one latent per layer.
            dtype: of the feature maps; the picture itself is summed in float32.
            max_resolution_px: stop at this block and return its smaller picture (progressive training).
            window: draw only this part.

        Returns:
            [B, 3, R, R] float32 RGB, nominally in [-1, 1], not clamped; the window's side instead of R with a window.
        """
        if ws.ndim != 3 or ws.shape[1] != self.config.num_layers:
            raise ValueError(f"ws must be [B, {self.config.num_layers}, D], not {list(ws.shape)}")
        x = self.constant.to(dtype).expand(ws.shape[0], -1, -1, -1)
        picture: Tensor | None = None
        index = 0
        for block, resolution in zip(self.blocks, self.config.block_resolutions, strict=True):
            assert isinstance(block, SynthesisBlock)
            cut = window if window is not None and resolution > window.coarse_px else None
            if block.up_layer is not None:
                x = block.up_layer(x, ws[:, index], cut)
                index += 1
            x = block.layer(x, ws[:, index], cut)
            index += 1
            rgb = block.to_rgb(x, ws[:, index])
            picture = rgb if picture is None else upsample2(picture) + rgb
            if resolution == max_resolution_px:
                break
            if window is not None and resolution == window.coarse_px:
                x, picture = window.cut_outer(x), window.cut_outer(picture)
        assert picture is not None
        return picture if window is None else window.trim(picture)

    def learn_noise(self) -> None:
        """Make every layer's noise a parameter (`SynthesisLayer.learn_noise`)."""
        for module in self.modules():
            if isinstance(module, SynthesisLayer):
                module.learn_noise()


class Generator(nn.Module):
    """Mapping and synthesis together; the face codec calls `render` with summed latents."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.mapping = MappingNetwork(config)
        self.synthesis = SynthesisNetwork(config)

    def broadcast(self, m: Tensor, layer_offsets: Tensor | None = None) -> Tensor:
        """Summed latents [B, D] to one latent per layer [B, L, D], plus an identity's offsets [L, D] or [B, L, D]."""
        ws = m.unsqueeze(1).expand(-1, self.config.num_layers, -1)
        return ws if layer_offsets is None else ws + layer_offsets

    def render(
        self,
        m: Tensor,
        *,
        layer_offsets: Tensor | None = None,
        dtype: torch.dtype = torch.float32,
        max_resolution_px: int | None = None,
        window: Window | None = None,
    ) -> Tensor:
        """V = G(m) (eq. 6): [B, D] -> [B, 3, R, R] float32 RGB, nominally in [-1, 1]."""
        ws = self.broadcast(m, layer_offsets)
        picture: Tensor = self.synthesis(ws, dtype=dtype, max_resolution_px=max_resolution_px, window=window)
        return picture

    def forward(self, z: Tensor, *, truncation_psi: float = 1.0) -> Tensor:
        """Random normal z [B, D] -> picture, as an unconditional StyleGAN2."""
        return self.render(self.mapping(z, truncation_psi=truncation_psi))
