"""The landmark teacher: MediaPipe's bundle, used for labels and measurements only, never at run time.

Pictures must be contiguous: the library misreads a strided array without an error. Its bundled detector sees 128x128
pixels, so a small face needs a crop first (`find_in_crop`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.face_mesh import MESH_TO_68


@dataclass(frozen=True, slots=True)
class TeacherFace:
    """One face as the teacher sees it."""

    mesh: NDArray[np.float32]
    """[478, 3] x, y in pixels of the picture, z in pixels too (negative towards the camera)."""
    blendshapes: NDArray[np.float32]
    """[52] expression scores in 0..1."""

    @property
    def points(self) -> NDArray[np.float32]:
        """[68, 2] in pixels."""
        return self.mesh[list(MESH_TO_68), :2]


class Teacher:
    """Finds faces in single pictures with the teacher bundle.

    Args:
        bundle: path of `face_landmarker.task`.
        max_faces: how many faces a picture may hold.
    """

    def __init__(self, bundle: Path, *, max_faces: int = 1, min_confidence: float = 0.5) -> None:
        import mediapipe as mp
        from mediapipe.tasks.python import BaseOptions, vision

        self._mp: Any = mp
        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(bundle)),
            num_faces=max_faces,
            min_face_detection_confidence=min_confidence,
            output_face_blendshapes=True,
            running_mode=vision.RunningMode.IMAGE,
        )
        self._net: Any = vision.FaceLandmarker.create_from_options(options)

    def __enter__(self) -> Teacher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._net.close()

    def find(self, picture: NDArray[np.uint8]) -> list[TeacherFace]:
        """Faces in an RGB picture [H, W, 3] uint8."""
        height, width = picture.shape[:2]
        image = self._mp.Image(image_format=self._mp.ImageFormat.SRGB, data=np.ascontiguousarray(picture))
        found = self._net.detect(image)
        faces = []
        for marks, shapes in zip(found.face_landmarks, found.face_blendshapes, strict=True):
            mesh = np.array([(p.x * width, p.y * height, p.z * width) for p in marks], dtype=np.float32)
            scores = np.array([s.score for s in shapes], dtype=np.float32)
            faces.append(TeacherFace(mesh, scores))
        return faces
