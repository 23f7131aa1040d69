"""Likeness from known rows, and by the networks on a photograph."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import data as pictures
from torch import Tensor

from talkface_core.tracking.tracker import FaceTracker
from training.evaluate.likeness_judge import FRAME_STEP, load_likeness_judge
from training.metrics.likeness import LikenessScores, Look


def look(seed: int, near: Look | None = None, distance: float = 0.1) -> Look:
    """Random rows of six frames, or rows near others."""
    rng = torch.Generator().manual_seed(seed)
    sizes = (128, 24, 24)
    if near is None:
        centres = [torch.randn(1, size, generator=rng) for size in sizes]
        return Look(*(c + 0.1 * torch.randn(6, c.shape[1], generator=rng) for c in centres))
    rows = (near.descriptors, near.faces, near.pictures)
    return Look(*(r + distance * torch.randn(r.shape, generator=rng) for r in rows))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_scores_are_their_formulas() -> None:
    real = [look(1), look(2)]
    fake = [look(3, real[0]), look(4, real[1], 0.5)]
    scores = LikenessScores()
    for person, r, f in zip("ab", real, fake, strict=True):
        scores.add(person, r, f)
    values, missing = scores.compute(())
    assert not missing
    means = [[rows.descriptors.double().numpy().mean(0) for rows in looks] for looks in (real, fake)]
    assert values["identity_similarity"] == pytest.approx(
        np.mean([cosine(*p) for p in zip(*means, strict=True)]), abs=1e-5
    )
    assert values["identity_similarity_of_strangers"] == pytest.approx(cosine(*means[0]), abs=1e-5)
    halves = [cosine(*(r.descriptors.numpy()[s].mean(0) for s in (slice(0, 3), slice(2, 6)))) for r in real]
    assert values["identity_similarity_of_original"] == pytest.approx(np.mean(halves), abs=1e-5)
    moments = [
        np.linalg.norm((r.descriptors - f.descriptors).numpy(), axis=1).mean() for r, f in zip(real, fake, strict=True)
    ]
    assert values["recogniser_distance"] == pytest.approx(np.mean(moments), abs=1e-5)
    faces = [cosine(r.faces.numpy().mean(0), f.faces.numpy().mean(0)) for r, f in zip(real, fake, strict=True)]
    assert values["efficientnet_similarity"] == pytest.approx(np.mean(faces), abs=1e-5)
    linalg = pytest.importorskip("scipy.linalg")
    rows = [np.concatenate([x.pictures.double().numpy() for x in looks]) for looks in (real, fake)]
    covariances = [np.cov(r, rowvar=False) + 1e-10 * np.eye(24) for r in rows]
    root = linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = ((rows[0].mean(0) - rows[1].mean(0)) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert values["fd_efficientnet"] == pytest.approx(expected, rel=1e-3)


def test_the_right_person_is_the_nearest() -> None:
    real = [look(i) for i in range(3)]
    scores = LikenessScores()
    for person, r, f in zip("abc", real, (look(7, real[0]), look(8, real[1]), look(9, real[0])), strict=True):
        scores.add(person, r, f)
    assert scores.compute(())[0]["recognised"] == pytest.approx(2 / 3)


def test_a_loss_is_no_judge_and_one_person_has_no_strangers() -> None:
    scores = LikenessScores()
    scores.add("a", look(1), look(2))
    values, missing = scores.compute({"face_recognition"})
    assert values["identity_similarity"] is None
    assert values["recognised"] is None
    assert "the face recogniser was a loss" in missing["identity_similarity"]
    assert "the face recogniser was a loss" in missing["recognised"]
    assert values["recogniser_distance"] is not None
    assert values["efficientnet_similarity"] is not None
    assert missing["identity_similarity_of_strangers"] == "the clips show one person"
    values, missing = scores.compute({"efficientnet_lite0"})
    assert values["fd_efficientnet"] is values["efficientnet_similarity"] is None
    assert "EfficientNet-Lite0 was a loss" in missing["fd_efficientnet"]
    assert values["identity_similarity"] is not None
    assert missing["recognised"] == "the clips show one person"


def photograph() -> tuple[Tensor, Tensor]:
    """Eleven frames [11, 3, 256, 256] in [0, 1] of a woman and her points."""
    picture = np.ascontiguousarray(pictures.astronaut()[:256, 96:352])
    found = FaceTracker().track([picture])[0]
    assert found is not None
    unit = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 255
    return unit.expand(11, -1, -1, -1), torch.from_numpy(found.points)[None].expand(11, -1, -1)


def test_networks_see_frames_apart_and_prefer_the_same_face() -> None:
    judge = load_likeness_judge()
    frames, points = photograph()
    seen = judge.look(frames, points)
    assert [rows.shape for rows in (seen.descriptors, seen.faces, seen.pictures)] == [
        (len(range(0, 11, FRAME_STEP)), size) for size in (128, 1280, 1280)
    ]
    darker = judge.look(frames * 0.8, points)
    squeezed = judge.look(torch.nn.functional.interpolate(frames, size=(256, 160))[:, :, :, 20:140], points)
    scores = []
    for other in (seen, darker, squeezed):
        collected = LikenessScores()
        collected.add("a", seen, other)
        scores.append(collected.compute(())[0])
    for name, sign in (("identity_similarity", 1), ("recogniser_distance", -1), ("efficientnet_similarity", 1)):
        same, dark, wrong = (sign * (s[name] or 0.0) for s in scores)
        assert same > dark > wrong, name
