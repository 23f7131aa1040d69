"""Is it still the same person? By networks that were made for it: dlib's face recogniser, and EfficientNet-Lite0.

* `identity_similarity` (up): cosine of the mean descriptors of true and drawn frames. Beside it that of the two halves
  of the true clip (`..._of_original`) and of true clips of different people (`..._of_strangers`): what it is worth.
* `recogniser_distance` (down): mean over frames of ‖a - b‖, descriptors of the true and the drawn frame of one moment;
  one person's lie within about 0.6.
* `recognised` (up): share of clips whose drawn face is nearest to a true clip of its own person, by mean descriptors.
* `efficientnet_similarity` (up): cosine of mean EfficientNet features of the face, cut out by its points.
* `fd_efficientnet` (down): Fréchet distance of EfficientNet features of whole frames.

A network that the weights were trained against says nothing about them: it has learned to be pleased. Its numbers are
then None; `recogniser_distance` alone stays, as a measure of fit.

Shapes: K frames of a clip, N clips.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor

from talkface_core.judges import efficientnet, face_recognition
from training.metrics.frechet import FeatureStatistics, frechet_distance
from training.metrics.recognition import recognised_share

_WAS_A_LOSS = "{} was a loss of these weights, and what is a loss is no judge"


@dataclass(frozen=True, slots=True)
class Look:
    """What the networks see in some frames of a clip."""

    descriptors: Tensor
    """[K, 128] of the face recogniser"""
    faces: Tensor
    """[K, 1280] of EfficientNet, on the faces"""
    pictures: Tensor
    """[K, 1280] of EfficientNet, on whole frames"""


def mean_similarity(first: Tensor, second: Tensor) -> float:
    """Cosine of the mean rows of [K, C] and [K', C]."""
    return float(F.cosine_similarity(first.mean(0), second.mean(0), dim=0))


def euclidean(first: Tensor, second: Tensor) -> float:
    """‖a - b‖ of two vectors."""
    return float((first - second).norm())


class LikenessScores:
    """Add pairs of clips, then read the means."""

    def __init__(self) -> None:
        self._persons: list[str] = []
        self._real: list[Look] = []
        self._fake: list[Look] = []

    def add(self, person: str, real: Look, fake: Look) -> None:
        """Take in one clip: the same K moments of both."""
        self._persons.append(person)
        self._real.append(real)
        self._fake.append(fake)

    def compute(self, trained_against: Collection[str]) -> tuple[dict[str, float | None], dict[str, str]]:
        """Values by name, and for those that are None the reason.

        Args:
            trained_against: kinds of networks that were losses of what was drawn.
        """
        values = self._references() | self._by_recogniser() | self._by_efficientnet()
        one_person = "the clips show one person"
        missing = dict.fromkeys(("identity_similarity_of_strangers", "recognised"), one_person)
        missing["fd_efficientnet"] = "two frames or more make a distribution"
        if face_recognition.KIND in trained_against:
            reason = _WAS_A_LOSS.format("the face recogniser")
            values |= dict.fromkeys(("identity_similarity", "recognised"))
            missing |= dict.fromkeys(("identity_similarity", "recognised"), reason)
        if efficientnet.KIND in trained_against:
            names = ("efficientnet_similarity", "fd_efficientnet")
            values |= dict.fromkeys(names)
            missing |= dict.fromkeys(names, _WAS_A_LOSS.format("EfficientNet-Lite0"))
        return values, {name: reason for name, reason in missing.items() if values[name] is None}

    def _references(self) -> dict[str, float | None]:
        """What true pictures of one person and of two have in common."""
        halves = []
        for look in self._real:
            middle = (len(look.descriptors) + 1) // 2
            halves.append(mean_similarity(look.descriptors[:middle], look.descriptors[middle - 1 :]))
        strangers = [
            mean_similarity(a.descriptors, b.descriptors)
            for (a, p), (b, q) in combinations(zip(self._real, self._persons, strict=True), 2)
            if p != q
        ]
        return {
            "identity_similarity_of_original": _mean(halves),
            "identity_similarity_of_strangers": _mean(strangers),
        }

    def _by_recogniser(self) -> dict[str, float | None]:
        pairs = list(zip(self._real, self._fake, strict=True))
        real, fake = ([look.descriptors.mean(0) for look in looks] for looks in (self._real, self._fake))
        return {
            "identity_similarity": _mean([mean_similarity(r.descriptors, f.descriptors) for r, f in pairs]),
            "recogniser_distance": _mean([float((r.descriptors - f.descriptors).norm(dim=1).mean()) for r, f in pairs]),
            "recognised": recognised_share(fake, real, self._persons, euclidean),
        }

    def _by_efficientnet(self) -> dict[str, float | None]:
        statistics = FeatureStatistics(), FeatureStatistics()
        for collected, looks in zip(statistics, (self._real, self._fake), strict=True):
            for look in looks:
                collected.update(look.pictures)
        pairs = zip(self._real, self._fake, strict=True)
        return {
            "efficientnet_similarity": _mean([mean_similarity(r.faces, f.faces) for r, f in pairs]),
            "fd_efficientnet": frechet_distance(*statistics) if statistics[0].count > 1 else None,
        }


def _mean(values: Sequence[float]) -> float | None:
    return float(torch.tensor(values, dtype=torch.float64).mean()) if values else None
