"""Whose face the clips of an evaluation are drawn with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from talkface_core.face.model import Renderer, TalkfaceModel
from talkface_core.interfaces import FaceIdentity
from training.data.clip_format import Clip
from training.data.clip_store import resize_frames
from training.likeness.one_picture import likeness_of_picture, tuned_model
from training.likeness.tuning import TuningConfig
from training.likeness.views import View


class Whose(StrEnum):
    """Who is drawn."""

    ONE = "one"
    """One identity for all clips."""
    OWN = "own"
    """Each clip's person, from its first frame by E_image."""
    TUNED = "tuned"
    """As own, then pivotal tuning to that frame (training/likeness)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FaceOptions:
    """How faces are made."""

    whose: Whose = Whose.ONE
    tuning: TuningConfig = field(default_factory=TuningConfig)
    """For `TUNED`."""
    speech: NDArray[np.int16] | None = None
    """For `TUNED`: somebody's speech at 16 kHz, none of the clips', that lips must still follow."""

    def __post_init__(self) -> None:
        if self.whose is Whose.TUNED and self.speech is None:
            raise ValueError("tuned faces need speech that lips must still follow")


class Faces:
    """Renderers for the clips of one evaluation.

    Args:
        identity: for `Whose.ONE`; None: the model's own.
        log: told how a tuning went.
    """

    def __init__(
        self,
        model: TalkfaceModel,
        identity: FaceIdentity | None,
        options: FaceOptions,
        runtime: str,
        log: Callable[[str], None],
    ) -> None:
        self._model, self._options, self._runtime, self._log = model, options, runtime, log
        self._shared = model.renderer(identity or model.default_identity(), runtime=runtime)
        self._shared.warm_up()

    @property
    def runtime(self) -> str:
        """What draws, for reports."""
        return self._shared.runtime

    @property
    def trained_against(self) -> frozenset[str]:
        """Networks that were losses of the weights, or of the faces: no judges of them."""
        tuned = self._options.whose is Whose.TUNED
        return frozenset((*self._model.weights.trained_against, *(self._options.tuning.networks() if tuned else ())))

    def renderer(self, clip: Clip) -> Renderer:
        """What draws this clip.

        Raises:
            talkface_core.errors.WeightsError: own faces are asked for and the model has no image encoder.
        """
        if self._options.whose is Whose.ONE:
            return self._shared
        first = resize_frames(clip.frames[:1], self._model.info.resolution_px)[0]
        if self._options.whose is Whose.OWN:
            return self._model.renderer(self._model.encode_portrait(first), runtime=self._runtime)
        assert self._options.speech is not None
        points = clip.points[0] * (self._model.info.resolution_px / clip.frames.shape[1])
        face = likeness_of_picture(self._model, View(first, points), self._options.speech, self._options.tuning)
        self._log(f"{clip.name}: tuned in {face.steps} steps, {face.seconds:.0f} s")
        return tuned_model(self._model, face).renderer(face.identity, runtime=self._runtime)
