"""Directions: measures, pairs, the average, eq. 7, files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from talkface.edit.directions import (
    Semantic,
    average_direction,
    contact_sheet,
    edit,
    find_pairs,
    load_directions,
    measure_faces,
    save_directions,
)
from talkface_core.errors import WeightsError
from talkface_core.style.session import portrait_points


def faces(mouth: NDArray[np.float64], eyes: NDArray[np.float64], turn: NDArray[np.float64]) -> NDArray[np.float64]:
    """[T, 68, 2] a plain face whose mouth opens, eyes close and nose moves sideways by so many pixels."""
    points = np.repeat(portrait_points()[None] * 256, len(mouth), axis=0)
    points[:, 65:68, 1] += mouth[:, None]
    for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46)):
        points[:, upper, 1] += eyes
        points[:, lower, 1] -= eyes
    points[:, 27:36, 0] += turn[:, None]
    return points


def moving_face(frames: int = 200) -> NDArray[np.float64]:
    g = np.random.default_rng(0)
    return faces(g.uniform(0, 20, frames), g.uniform(0, 3, frames), g.uniform(-15, 15, frames))


def test_each_measure_follows_its_own_motion() -> None:
    still, one = np.zeros(2), np.array([0.0, 1.0])
    for name, points in {
        "mouth": faces(20 * one, still, still),
        "eyes": faces(still, 3 * one, still),
        "head": faces(still, still, 15 * one),
    }.items():
        measures = measure_faces(points)
        changes = {
            k: getattr(measures, k)[1] - getattr(measures, k)[0] for k in ("mouth", "eyes", "head", "nod", "roll")
        }
        assert changes.pop(name) > 0.05
        assert max(abs(c) for c in changes.values()) < 0.03, name


def test_measures_do_not_depend_on_place_size_and_tilt() -> None:
    points = moving_face(5)
    angle = 0.3
    turned = points @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) * 2.5 + [40, -9]
    a, b = measure_faces(points), measure_faces(turned)
    for name in ("mouth", "eyes", "head", "nod"):
        np.testing.assert_allclose(getattr(b, name), getattr(a, name), atol=1e-9)
    np.testing.assert_allclose(b.roll - a.roll, angle, atol=1e-9)


@pytest.mark.parametrize("semantic", Semantic)
def test_pairs_differ_in_the_wanted_thing_alone(semantic: Semantic) -> None:
    points = moving_face()
    pairs = find_pairs(points, semantic, num_pairs=8)
    assert len(pairs) == 8
    measures = measure_faces(points)
    wanted, others = measures.of(semantic), measures.others(semantic)
    for pair in pairs:
        assert (wanted[pair.high] - wanted[pair.low]) / wanted.std() == pytest.approx(pair.contrast)
        assert pair.contrast >= 1.5
        changes = np.abs(others[pair.high] - others[pair.low]) / np.maximum(others.std(0), 1e-9)
        assert np.sqrt(np.square(changes).mean()) <= 1.0 + 1e-6
    used = [i for p in pairs for i in (p.low, p.high)]
    assert len(set(used)) == len(used)


def test_a_face_that_does_not_change_gives_no_pairs() -> None:
    still = np.zeros(50)
    assert find_pairs(faces(still, still, still), Semantic.MOUTH) == []
    assert find_pairs(faces(still[:1], still[:1], still[:1]), Semantic.MOUTH) == []
    with pytest.raises(ValueError, match=r"\[T > 0, 68, 2\]"):
        find_pairs(np.zeros((0, 68, 2)), Semantic.MOUTH)


def test_direction_is_the_average_difference_and_edit_moves_along_it() -> None:
    torch.manual_seed(0)
    direction, lows = torch.randn(32), torch.randn(500, 32)
    highs = lows + direction + 0.5 * torch.randn(500, 32)
    found = average_direction(lows, highs)
    torch.testing.assert_close(found, direction, atol=0.12, rtol=0)
    z = torch.randn(32)
    torch.testing.assert_close(edit(z, found, -2.5), z - 2.5 * found)
    torch.testing.assert_close(edit(z, found, 0.0), z)
    with pytest.raises(ValueError, match="must both be"):
        average_direction(lows, highs[:3])
    with pytest.raises(ValueError, match="must both be"):
        average_direction(lows[:0], highs[:0])


def test_contact_sheet_shows_low_above_high() -> None:
    points = moving_face()
    frames = [np.full((40, 50, 3), i, np.uint8) for i in range(len(points))]
    pairs = find_pairs(points, Semantic.HEAD, num_pairs=3)
    sheet = contact_sheet(frames, pairs, side_px=16)
    assert sheet.shape == (32, 48, 3)
    assert [int(sheet[0, 16 * n, 0]) for n in range(3)] == [p.low for p in pairs]
    assert [int(sheet[31, 16 * n, 0]) for n in range(3)] == [p.high for p in pairs]
    with pytest.raises(ValueError, match="no pairs"):
        contact_sheet(frames, [])


def test_files_of_directions(tmp_path: Path) -> None:
    path = tmp_path / "d.safetensors"
    directions = {Semantic.MOUTH: torch.randn(8), Semantic.HEAD: torch.randn(8)}
    save_directions(path, directions)
    loaded = load_directions(path, 8)
    assert set(loaded) == set(directions)
    torch.testing.assert_close(loaded[Semantic.HEAD], directions[Semantic.HEAD])
    with pytest.raises(WeightsError, match="not a direction of 9 values"):
        load_directions(path, 9)
    save_file({"tail": np.zeros(8, np.float32)}, path)
    with pytest.raises(WeightsError, match="tail"):
        load_directions(path, 8)
    path.write_bytes(b"x")
    with pytest.raises(WeightsError, match="not a file of directions"):
        load_directions(path, 8)
    with pytest.raises(WeightsError, match="cannot read"):
        load_directions(tmp_path / "absent", 8)
