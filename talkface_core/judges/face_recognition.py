"""dlib's face recogniser: a residual network that maps a face to 128 numbers, near for one person, far for two.

King, "High quality face recognition with deep metric learning" (2017); He et al., "Deep residual learning" (2015).
Descriptors of one person lie within about 0.6 of one another (Euclidean). Gradients flow through, so the same network
is a metric, an identity loss, and features for a perceptual distance on faces. Where it was a loss, its verdict on the
result says nothing.

The scale after each convolution is folded into its weights. Shapes: N faces.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from talkface_core.face_assets import load_asset
from talkface_core.judges.face_chip import CHIP_PX, face_chips
from talkface_core.module_fill import fill_module

KIND = "face_recognition"
CODE_VERSION = 1
DESCRIPTOR_DIM = 128
SAME_PERSON = 0.6
"""Distance of descriptors below which dlib calls two faces one person."""
_MEAN_RGB = (122.782, 117.001, 104.298)
# Name, channels, residual blocks, and whether a block that halves the resolution goes first.
_STAGES = (("conv32", 32, 3, False), ("conv64", 64, 3, True), ("conv128", 128, 2, True), ("conv256", 256, 2, True))


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut.

    A halving block does not pad its first convolution; its shortcut is a 2x2 mean. Whichever of the two comes out
    smaller is filled up with zeros at the right and below, and the shortcut with zero channels, as dlib does.
    """

    def __init__(self, in_channels: int, out_channels: int, *, down: bool = False) -> None:
        super().__init__()
        stride, padding = (2, 0) if down else (1, 1)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.down = down

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2(F.relu(self.conv1(x)))
        if self.down:
            x = F.avg_pool2d(x, 2)
            height, width = max(out.shape[2], x.shape[2]), max(out.shape[3], x.shape[3])
            x = F.pad(x, (0, width - x.shape[3], 0, height - x.shape[2], 0, out.shape[1] - x.shape[1]))
            out = F.pad(out, (0, width - out.shape[3], 0, height - out.shape[2]))
        return F.relu(out + x)


class FaceRecogniser(nn.Module):
    """Face chips to descriptors.

    [3, 150] -> 32 @ 72 -> pool 35 -> 32 @ 35 -> 64 @ 17 -> 128 @ 8 -> 256 @ 4 -> 256 @ 2 -> mean -> 128
                                         |          |          |          |
                                         +----------+- maps ---+----------+
    """

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", Tensor(_MEAN_RGB).view(3, 1, 1), persistent=False)
        self.conv32_down = nn.Conv2d(3, 32, 7, stride=2)
        self.stages = nn.ModuleDict()
        channels = 32
        for name, width, count, down in _STAGES:
            blocks = {f"{name}_down": Residual(channels, width, down=True)} if down else {}
            blocks |= {f"{name}_{k}": Residual(width, width) for k in range(1, count + 1)}
            self.stages[name] = nn.Sequential(*blocks.values())
            channels = width
        self.last = Residual(channels, channels, down=True)
        self.fc = nn.Linear(channels, DESCRIPTOR_DIM, bias=False)

    def maps(self, chips: Tensor) -> list[Tensor]:
        """Maps after the four stages.

        Args:
            chips: [N, 3, 150, 150] RGB in [-1, 1] from `face_chips`.

        Returns:
            [N, 32, 35, 35], [N, 64, 17, 17], [N, 128, 8, 8], [N, 256, 4, 4]

        Raises:
            ValueError: another shape.
        """
        if chips.shape[1:] != (3, CHIP_PX, CHIP_PX):
            raise ValueError(f"FaceRecogniser: expected [N, 3, {CHIP_PX}, {CHIP_PX}], got {[*chips.shape]}")
        x = F.relu(self.conv32_down(((chips + 1) * 127.5 - self.mean) / 255))
        x = F.max_pool2d(x, 3, 2)
        found = []
        for stage in self.stages.values():
            x = stage(x)
            found.append(x)
        return found

    def forward(self, chips: Tensor) -> Tensor:
        """[N, 3, 150, 150] RGB in [-1, 1] to descriptors [N, 128], which are not of unit length."""
        return self.describe(self.maps(chips)[-1])

    def describe(self, last_map: Tensor) -> Tensor:
        """The last of `maps` to descriptors [N, 128]: for callers that want both."""
        descriptors: Tensor = self.fc(self.last(last_map).mean(dim=(2, 3)))
        return descriptors

    def recognise(self, pictures: Tensor, points: Tensor) -> Tensor:
        """Pictures [N, 3, H, W] in [-1, 1] and their points [N, 68, 2] in pixels to descriptors [N, 128]."""
        return self(face_chips(pictures, points))


def load_face_recogniser(name_or_path: str = "face_recognition") -> FaceRecogniser:
    """The shipped network; on the CPU, its weights frozen.

    Raises:
        talkface_core.errors.WeightsError: the file is missing, damaged, or another network's.
    """
    _, tensors = load_asset(name_or_path, kind=KIND, code_version=CODE_VERSION)
    network = FaceRecogniser()
    fill_module(network, _folded(tensors), f"face recogniser weights {name_or_path}", "reinstall talkface")
    return network.eval().requires_grad_(False)


def _folded(source: dict[str, Tensor]) -> dict[str, Tensor]:
    """The file's tensors under this module's names: y = s (w x + b) + c becomes one convolution."""
    names = {
        "conv32_down": "conv32_down",
        "last.conv1": "conv256_down_out/conv1",
        "last.conv2": "conv256_down_out/conv2",
    }
    for stage, _, count, down in _STAGES:
        blocks = ([f"{stage}_down"] if down else []) + [f"{stage}_{k}" for k in range(1, count + 1)]
        for index, block in enumerate(blocks):
            names |= {f"stages.{stage}.{index}.{c}": f"{block}/{c}" for c in ("conv1", "conv2")}
    state = {"fc.weight": source["fc"].T.contiguous()}
    for own, theirs in names.items():
        scale = source[f"{theirs}/scale/weights"]
        state[f"{own}.weight"] = source[f"{theirs}/conv/filters"] * scale[:, None, None, None]
        state[f"{own}.bias"] = source[f"{theirs}/conv/bias"] * scale + source[f"{theirs}/scale/biases"]
    return state
