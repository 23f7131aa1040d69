"""Losses through the trained judges: features of EfficientNet-Lite0, and who the face recogniser takes a face for.

Both work at every resolution of the schedule: EfficientNet's maps shrink with the picture, and the recogniser's chip is
resampled to 150 px from the true and the drawn face alike, so that it compares two equally soft faces at a quarter of
the resolution.

Shapes: N pictures of r x r in [-1, 1]; points [N, 68, 2] in fractions of the picture's side.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from talkface_core.judges.efficientnet import EfficientNetLite0
from talkface_core.judges.face_chip import face_chips
from talkface_core.judges.face_recognition import FaceRecogniser

_FLOOR = 1e-6


def relative_l1(real_maps: Sequence[Tensor], fake_maps: Sequence[Tensor]) -> Tensor:
    """Σ over maps of mean |a - b| / mean |a|, a being the true picture's: no map weighs more for its size.

    Args:
        real_maps: maps [N, C, H, W] of the true pictures; no gradient flows into them.
        fake_maps: maps of the drawn ones, same shapes.

    Returns:
        [N]; 0 when they agree, about the number of maps when they have nothing in common.
    """
    total = fake_maps[0].new_zeros(len(fake_maps[0]))
    for real, fake in zip(real_maps, fake_maps, strict=True):
        real = real.detach()
        size = real.abs().mean(dim=(1, 2, 3)).clamp_min(_FLOOR)
        total = total + (real - fake).abs().mean(dim=(1, 2, 3)) / size
    return total


def descriptor_distance(real: Tensor, fake: Tensor) -> Tensor:
    """√(‖a - b‖² + ε) - √ε of descriptors [N, 128]: the Euclidean distance dlib's network was trained for, [N].

    ε keeps the gradient finite where the two agree.
    """
    return ((real.detach() - fake).square().sum(dim=1) + _FLOOR).sqrt() - _FLOOR**0.5


def identity_loss(recogniser: FaceRecogniser, real: Tensor, fake: Tensor, points: Tensor) -> Tensor:
    """How far the drawn face is from being its person's, [N]: 0.6 and more is somebody else.

    Both faces are cut out where the true one lies. The sound and the style that drive the drawn one may be other
    people's: whose face it is does not change.
    """
    pixels = points * real.shape[-1]
    with torch.no_grad():
        target = recogniser.recognise(real, pixels)
    return descriptor_distance(target, recogniser.recognise(fake, pixels))


class EfficientNetDistance:
    """`relative_l1` on chosen stages of EfficientNet-Lite0.

    Args:
        stages: 1 to 7.
    """

    on_windows = True

    def __init__(self, network: EfficientNetLite0, stages: Sequence[int]) -> None:
        self._network = network
        self._stages = sorted(set(stages))

    def _maps(self, pictures: Tensor) -> list[Tensor]:
        maps = self._network.maps(pictures, self._stages[-1])
        return [maps[stage - 1] for stage in self._stages]

    def __call__(self, real: Tensor, fake: Tensor, points: Tensor) -> Tensor:
        """Pictures [N, 3, r, r] to [N]; the points are not needed."""
        with torch.no_grad():
            target = self._maps(real)
        return relative_l1(target, self._maps(fake))


class FaceMapDistance:
    """`relative_l1` on chosen stages of the face recogniser, within the face.

    Args:
        stages: 1 to 4.
    """

    on_windows = False

    def __init__(self, network: FaceRecogniser, stages: Sequence[int]) -> None:
        self._network = network
        self._stages = sorted(set(stages))

    def __call__(self, real: Tensor, fake: Tensor, points: Tensor) -> Tensor:
        """Pictures [N, 3, r, r] and the true faces' points to [N]."""
        pixels = points * real.shape[-1]
        with torch.no_grad():
            target = self._network.maps(face_chips(real, pixels))
        maps = self._network.maps(face_chips(fake, pixels))
        return relative_l1([target[s - 1] for s in self._stages], [maps[s - 1] for s in self._stages])
