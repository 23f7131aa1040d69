"""E_audio: mel picture of the sound around a frame -> audio embedding e (paper III.C, eq. 2).

A plain CNN; each frame's embedding depends on its own window only, so the encoder has no state and its look-ahead
is the window's (talkface_core/sound/mel.py).
"""

from __future__ import annotations

from torch import Tensor, nn

from talkface_core.sound.mel import LOOKAHEAD_SAMPLES, SAMPLE_RATE_HZ, MelWindow

LOOKAHEAD_MS = 1000 * LOOKAHEAD_SAMPLES // SAMPLE_RATE_HZ


def _conv(in_channels: int, out_channels: int, stride: tuple[int, int]) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1),
        nn.GroupNorm(8, out_channels),
        nn.LeakyReLU(0.1),
    )


class AudioEncoder(nn.Module):
    """Windows of sound -> e.

    Shapes: [B, S] float32 waveform windows in [-1, 1] -> [B, D] float32.
    """

    def __init__(self, latent_dim: int = 512) -> None:
        super().__init__()
        self.mel = MelWindow()
        self.features = nn.Sequential(  # strides are (frequency, time); [B, 1, 80, 29]
            _conv(1, 32, (2, 1)),  # [40, 29]
            _conv(32, 64, (2, 1)),  # [20, 29]
            _conv(64, 64, (1, 1)),
            _conv(64, 128, (2, 2)),  # [10, 15]
            _conv(128, 128, (1, 1)),
            _conv(128, 192, (2, 2)),  # [5, 8]
            _conv(192, 192, (1, 1)),
            _conv(192, 256, (2, 2)),  # [3, 4]
        )
        self.project = nn.Sequential(nn.Linear(256 * 12, 256), nn.LeakyReLU(0.1), nn.Linear(256, latent_dim))

    def encode_mel(self, mel: Tensor) -> Tensor:
        """Mel pictures [B, 1, 80, M] -> e [B, D]."""
        e: Tensor = self.project(self.features(mel).flatten(1))
        return e

    def forward(self, windows: Tensor) -> Tensor:
        return self.encode_mel(self.mel(windows))
