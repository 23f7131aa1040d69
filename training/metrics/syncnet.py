"""SyncNet (Chung and Zisserman, "Out of time", 2016): the network that LSE-D and LSE-C are defined on.

Only its layers are here, so that the official `syncnet_v2.model` loads; the weights come by path. A lip stream of five
224x224 frames and an audio stream of 20 MFCC rows (0.2 s) both end in 1024 values.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from talkface_core.errors import WeightsError

NUM_FRAMES = 5
NUM_MFCC_ROWS = 20
FRAME_PX = 224


def _conv2d(inside: int, outside: int, kernel: tuple[int, int], padding: int) -> list[nn.Module]:
    return [nn.Conv2d(inside, outside, kernel, padding=padding), nn.BatchNorm2d(outside), nn.ReLU()]


def _conv3d(inside: int, outside: int, kernel: tuple[int, int, int], stride: int, padding: int) -> list[nn.Module]:
    conv = nn.Conv3d(inside, outside, kernel, stride=(1, stride, stride), padding=(0, padding, padding))
    return [conv, nn.BatchNorm3d(outside), nn.ReLU()]


def _pool3d(padding: int) -> nn.Module:
    return nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, padding, padding))


def _head() -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 1024))


class SyncNet(nn.Module):
    """Two streams; attribute names are those of the official checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = nn.Sequential(
            *_conv2d(1, 64, (3, 3), 1),
            nn.MaxPool2d((1, 1), stride=(1, 1)),
            *_conv2d(64, 192, (3, 3), 1),
            nn.MaxPool2d((3, 3), stride=(1, 2)),
            *_conv2d(192, 384, (3, 3), 1),
            *_conv2d(384, 256, (3, 3), 1),
            *_conv2d(256, 256, (3, 3), 1),
            nn.MaxPool2d((3, 3), stride=(2, 2)),
            *_conv2d(256, 512, (5, 4), 0),
        )
        self.netfcaud = _head()
        self.netfclip = _head()
        self.netcnnlip = nn.Sequential(
            *_conv3d(3, 96, (5, 7, 7), 2, 0),
            _pool3d(0),
            *_conv3d(96, 256, (1, 5, 5), 2, 1),
            _pool3d(1),
            *_conv3d(256, 256, (1, 3, 3), 1, 1),
            *_conv3d(256, 256, (1, 3, 3), 1, 1),
            *_conv3d(256, 256, (1, 3, 3), 1, 1),
            _pool3d(0),
            *_conv3d(256, 512, (1, 6, 6), 1, 0),
        )

    def embed_audio(self, mfcc_windows: Tensor) -> Tensor:
        """[N, 1, 13, 20] to [N, 1024]."""
        out: Tensor = self.netfcaud(self.netcnnaud(mfcc_windows).flatten(1))
        return out

    def embed_lips(self, frames: Tensor) -> Tensor:
        """[N, 3, 5, 224, 224], BGR in [0, 255], to [N, 1024]."""
        out: Tensor = self.netfclip(self.netcnnlip(frames).flatten(1))
        return out


def load_syncnet(weights: Path) -> SyncNet:
    """Read the official checkpoint (a plain state dict; nothing in the file is executed).

    Raises:
        WeightsError: the file is missing or is not SyncNet.
    """
    network = SyncNet()
    try:
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    except Exception as error:  # torch raises a different type for each way in which a file can be wrong
        raise WeightsError(
            f"{weights}: not the SyncNet weights ({type(error).__name__}: {str(error)[:200]}); "
            "give the official syncnet_v2.model"
        ) from error
    return network.eval().requires_grad_(False)
