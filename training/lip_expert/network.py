"""A lip expert in landmark space: do these lips and this sound belong to the same moment? (paper III.G, equation 11)

SyncNet-like experts on pixels need hundreds of hours before they leave chance. Mouth points with the head's pose taken
out are so simple a picture that half an hour of speech suffices. Lips: five frames of points and their velocities to
a unit vector. Sound: the log-mel window of the middle frame to a unit vector. Their inner product is the agreement.

An expert may serve in a loss only after its gate: on clips it never saw, the offset between lips and sound is found
within +-1 frame in at least 60 % of 2 s windows (`offset_of_window`). Never measure with the expert that trained.

Shapes: N windows, T frames, 5 frames per window, E = 128.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from talkface_core.face_assets import load_asset
from talkface_core.module_fill import fill_module
from talkface_core.sound.mel import MEL_BINS, WINDOW_COLUMNS
from talkface_core.tracking.landmarks import MOUTH, NUM_POINTS

CODE_VERSION = 1
ASSET_FOLDER = Path(__file__).resolve().parents[1] / "assets"
EXPERT_FRAMES = 5
"""Frames of lips per vector; the sound belongs to the middle one."""
EMBEDDING_DIM = 128
MAX_OFFSET_FRAMES = 15
GATE_WINDOW_FRAMES = 50
"""2 s at 25 frames/s."""
GATE_TOLERANCE_FRAMES = 1
GATE_SHARE = 0.6

CHIN = (7, 8, 9)
SPEECH_POINTS = (*MOUTH, *CHIN)
RIGID_POINTS = (36, 39, 42, 45, 27, 28, 29, 30, 33)
"""Eye corners and nose: they give the pose that is taken out."""


def remove_pose(points: Tensor, reference: Tensor) -> Tensor:
    """Turn, scale and shift each face so that its rigid points fit the reference best (least squares).

    Args:
        points: [..., 68, 2] in any square unit.
        reference: [68, 2] upright mean face.

    Returns:
        The same shape, in the reference's unit; differentiable.
    """
    rigid = list(RIGID_POINTS)
    source, target = points[..., rigid, :], reference[rigid]
    source_mean, target_mean = source.mean(dim=-2, keepdim=True), target.mean(dim=0)
    a, b = source - source_mean, target - target_mean
    # In the plane a turn and a scale are one complex factor: sum(conj(a) * b) / sum(|a|^2).
    power = (a**2).sum(dim=(-2, -1)).clamp_min(1e-12)
    real = (a * b).sum(dim=(-2, -1)) / power
    imaginary = (a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]).sum(dim=-1) / power
    centred = points - source_mean
    x = centred[..., 0] * real[..., None] - centred[..., 1] * imaginary[..., None]
    y = centred[..., 0] * imaginary[..., None] + centred[..., 1] * real[..., None]
    return torch.stack([x, y], dim=-1) + target_mean


class LipEncoder(nn.Module):
    """Five frames of points to a unit vector: two temporal convolutions over points and velocities."""

    reference: Tensor
    scale: Tensor

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        # Filled in training: the mean upright face, and the spread of its speech points.
        self.register_buffer("reference", torch.rand(NUM_POINTS, 2, generator=torch.Generator().manual_seed(0)))
        self.register_buffer("scale", torch.ones(()))
        num_inputs = 4 * len(SPEECH_POINTS)
        self.layers = nn.Sequential(
            nn.Conv1d(num_inputs, width, 3),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Conv1d(width, width, 3),
            nn.BatchNorm1d(width),
            nn.ReLU(),
        )
        self.out = nn.Linear(width, EMBEDDING_DIM)

    def forward(self, points: Tensor) -> Tensor:
        """[N, 5, 68, 2] to [N, E]."""
        if points.ndim != 4 or points.shape[1:] != (EXPERT_FRAMES, NUM_POINTS, 2):
            raise ValueError(f"points must be [N, {EXPERT_FRAMES}, {NUM_POINTS}, 2], got {list(points.shape)}")
        speech = list(SPEECH_POINTS)
        upright = (remove_pose(points, self.reference) - self.reference)[:, :, speech] / self.scale
        values = upright.flatten(2).transpose(1, 2)  # [N, 46, 5]
        velocities = F.pad(values[..., 1:] - values[..., :-1], (1, 0))
        hidden = self.layers(torch.cat([values, 2 * velocities], dim=1))  # [N, width, 1]
        return F.normalize(self.out(hidden[..., 0]), dim=1)


class SoundEncoder(nn.Module):
    """Log-mel window of a frame to a unit vector: temporal convolutions with the mel bins as channels."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()

        def block(num_in: int, stride: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv1d(num_in, width, 3, stride, padding=1, bias=False), nn.BatchNorm1d(width), nn.ReLU()
            )

        self.layers = nn.Sequential(block(MEL_BINS, 1), block(width, 2), block(width, 2))
        columns = -(-WINDOW_COLUMNS // 4)
        self.out = nn.Sequential(nn.Dropout(0.2), nn.Linear(width * columns, EMBEDDING_DIM))

    def forward(self, mel: Tensor) -> Tensor:
        """[N, 1, 80, M] from `talkface_core.sound.mel.MelWindow` to [N, E]."""
        if mel.ndim != 4 or mel.shape[1:] != (1, MEL_BINS, WINDOW_COLUMNS):
            raise ValueError(f"mel must be [N, 1, {MEL_BINS}, {WINDOW_COLUMNS}], got {list(mel.shape)}")
        return F.normalize(self.out(self.layers(mel[:, 0]).flatten(1)), dim=1)


class LipExpert(nn.Module):
    """Both halves and the temperature of their agreement."""

    def __init__(self, lip_width: int = 128, sound_width: int = 128) -> None:
        super().__init__()
        self.config = {"lip_width": lip_width, "sound_width": sound_width}
        self.lips = LipEncoder(lip_width)
        self.sound = SoundEncoder(sound_width)
        self.log_temperature = nn.Parameter(torch.tensor(-2.3))

    def embed_lips(self, points: Tensor) -> Tensor:
        """[N, 5, 68, 2] points in any square unit, upright or not, to unit vectors [N, 128]."""
        return self.lips(points)

    def embed_sound(self, mel: Tensor) -> Tensor:
        """[N, 1, 80, M] log-mel windows of the middle frames to unit vectors [N, 128]."""
        return self.sound(mel)

    def forward(self, points: Tensor, mel: Tensor) -> Tensor:
        """Agreement in [-1, 1] of N lip windows with N sound windows: [N]."""
        return (self.embed_lips(points) * self.embed_sound(mel)).sum(dim=1)


def lip_windows(points: Tensor) -> Tensor:
    """[T, 68, 2] of a clip to windows around every frame [T, 5, 68, 2]; the ends repeat."""
    reach = EXPERT_FRAMES // 2
    padded = torch.cat([points[:1].expand(reach, -1, -1), points, points[-1:].expand(reach, -1, -1)])
    return padded.unfold(0, EXPERT_FRAMES, 1).movedim(-1, 1)


def agreement_by_offset(lips: Tensor, sound: Tensor, max_offset: int = MAX_OFFSET_FRAMES) -> Tensor:
    """Mean agreement of lips at t with sound at t + k for k = -max_offset .. max_offset.

    Args:
        lips: [T, E] unit vectors of a window.
        sound: [T + 2 * max_offset, E] unit vectors; row t + max_offset belongs to lips t.

    Returns:
        [2 * max_offset + 1]; above 0 the sound is late.
    """
    if len(sound) != len(lips) + 2 * max_offset:
        raise ValueError(f"sound must have {len(lips) + 2 * max_offset} rows, got {len(sound)}")
    return torch.stack([(lips * sound[k : k + len(lips)]).sum(dim=1).mean() for k in range(2 * max_offset + 1)])


def offset_of_window(lips: Tensor, sound: Tensor, max_offset: int = MAX_OFFSET_FRAMES) -> int:
    """By how many frames the sound comes late against the lips (negative: early), see `agreement_by_offset`."""
    return int(agreement_by_offset(lips, sound, max_offset).argmax()) - max_offset


def load_lip_expert(name_or_path: str = "lip_expert") -> LipExpert:
    """The shipped expert, or one from a file; eval mode, CPU, gradients to weights off.

    Raises:
        talkface_core.errors.WeightsError: missing, damaged, or not a lip expert.
    """
    config, tensors = load_asset(name_or_path, kind="lip_expert", code_version=CODE_VERSION, folder=ASSET_FOLDER)
    expert = LipExpert(config["lip_width"], config["sound_width"])
    fill_module(expert, tensors, f"lip expert weights {name_or_path}", "reinstall talkface")
    return expert.eval().requires_grad_(False)
