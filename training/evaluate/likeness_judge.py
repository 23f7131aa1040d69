"""The trained judges on frames of a clip, for `training.metrics.likeness`.

Shapes: T frames of R x R, K of them looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from talkface_core.judges.efficientnet import EfficientNetLite0, load_efficientnet
from talkface_core.judges.face_chip import face_chips
from talkface_core.judges.face_recognition import FaceRecogniser, load_face_recogniser
from training.metrics.likeness import Look

FRAME_STEP = 5
"""Every so many frames are looked at: 0.2 s apart, for neighbours say the same."""
EFFICIENTNET_PX = 224
"""What the network was trained at."""


@dataclass(frozen=True, slots=True)
class LikenessJudge:
    """Both networks."""

    recogniser: FaceRecogniser
    efficientnet: EfficientNetLite0

    @torch.inference_mode()
    def look(self, frames: Tensor, points: Tensor, chunk: int = 16) -> Look:
        """See every `FRAME_STEP`-th frame.

        Args:
            frames: [T, 3, R, R] in [0, 1].
            points: [T, 68, 2] pixels: those of the same frames, as a recogniser finds its own face.
        """
        pictures, where = frames[::FRAME_STEP] * 2 - 1, points[::FRAME_STEP]
        parts = zip(pictures.split(chunk), where.split(chunk), strict=True)
        looks = [self._look(part, part_points) for part, part_points in parts]
        return Look(*(torch.cat(rows) for rows in zip(*looks, strict=True)))

    def _look(self, pictures: Tensor, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mode = "area" if pictures.shape[-1] > EFFICIENTNET_PX else "bilinear"
        whole = F.interpolate(pictures, size=(EFFICIENTNET_PX, EFFICIENTNET_PX), mode=mode)
        faces = face_chips(pictures, points, EFFICIENTNET_PX)
        return (
            self.recogniser.recognise(pictures, points),
            self.efficientnet.pooled(faces),
            self.efficientnet.pooled(whole),
        )


def load_likeness_judge() -> LikenessJudge:
    """The networks that ship.

    Raises:
        talkface_core.errors.WeightsError: a file is missing or damaged.
    """
    return LikenessJudge(load_face_recogniser(), load_efficientnet())
