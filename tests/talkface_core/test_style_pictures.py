"""The covered face and the mouth crop: they hide and show the mouth, and do not tell how far it is open."""

from __future__ import annotations

import pytest
import torch

from talkface_core.style_pictures import face_axes, mouth_cover, mouth_crop, style_pictures


def upright_face(size: float = 60.0, centre: tuple[float, float] = (128.0, 110.0)) -> torch.Tensor:
    """[1, 68, 2]: eyes, nose, mouth and jaw at typical places, in pixels of a 256 px frame."""
    points = torch.zeros(1, 68, 2)
    points[..., 0], points[..., 1] = centre
    s = size / 1.0
    for index, (x, y) in {36: (-0.5, 0), 39: (-0.2, 0), 42: (0.2, 0), 45: (0.5, 0), 33: (0, 0.55)}.items():
        points[0, index] += torch.tensor([x * s, y * s])
    for index in range(48, 68):
        angle = (index - 48) / 20 * 2 * torch.pi
        points[0, index] += torch.tensor([0.3 * s * torch.cos(torch.tensor(angle)), s * (1 + 0.1)])
    for index in range(17):
        points[0, index] += torch.tensor([(index - 8) / 10 * s, 1.4 * s])
    return points


def rotate(points: torch.Tensor, degrees: float) -> torch.Tensor:
    angle = torch.deg2rad(torch.tensor(degrees))
    matrix = torch.tensor([[torch.cos(angle), -torch.sin(angle)], [torch.sin(angle), torch.cos(angle)]])
    return (points - 128) @ matrix.T + 128


def test_axes_of_an_upright_and_a_rolled_face() -> None:
    origin, right, size = face_axes(upright_face())
    assert origin.tolist() == [[128, 110]]
    assert right.tolist() == [[1, 0]]
    assert size.item() == pytest.approx(60)
    _, rolled, _ = face_axes(rotate(upright_face(), 30))
    assert rolled[0].tolist() == pytest.approx([0.866, 0.5], abs=1e-3)


@pytest.mark.parametrize("degrees", [0, 25])
def test_cover_hides_mouth_and_chin_but_not_eyes_and_nose(degrees: float) -> None:
    points = rotate(upright_face(), degrees)
    cover = mouth_cover(points, 256)[0, 0]
    for index in [*range(48, 68), 8]:
        x, y = points[0, index].long().tolist()
        assert cover[y, x] == 1
    for index in (36, 39, 42, 45, 33):
        x, y = points[0, index].long().tolist()
        assert cover[y, x] == 0


def test_cover_does_not_depend_on_lips_or_jaw() -> None:
    closed, opened = upright_face(), upright_face()
    opened[:, 48:, 1] += 15
    opened[:, :17, 1] += 20
    assert torch.equal(mouth_cover(closed, 256), mouth_cover(opened, 256))
    frames = torch.rand(1, 3, 256, 256) * 2 - 1
    assert torch.equal(style_pictures(frames, closed)[0], style_pictures(frames, opened)[0])


def test_covered_face_is_the_same_whatever_the_mouth_does() -> None:
    points = upright_face()
    first = torch.rand(1, 3, 256, 256)
    second = first.clone()
    second[..., 155:200, 110:150] = torch.rand(1, 3, 45, 40)
    faces, mouths = style_pictures(first, points)
    other_faces, other_mouths = style_pictures(second, points)
    assert torch.equal(faces, other_faces)
    assert not torch.equal(mouths, other_mouths)
    assert not torch.equal(
        style_pictures(first, points, covered=False)[0], style_pictures(second, points, covered=False)[0]
    )


def test_mouth_crop_is_where_the_mouth_is_at_any_roll() -> None:
    points = upright_face()
    ys, xs = torch.meshgrid(torch.arange(256.0), torch.arange(256.0), indexing="ij")
    frames = torch.stack([xs + 0.5, ys + 0.5, xs * 0])[None]
    for degrees in (0, 20):
        turned = rotate(points, degrees)
        crop = mouth_crop(frames, turned, 64)
        assert crop.shape == (1, 3, 64, 64)
        centre = crop[0, :2, 31:33, 31:33].mean(dim=(1, 2))
        origin, right, size = face_axes(turned)
        expected = origin[0] + torch.stack([-right[0, 1], right[0, 0]]) * size[0]
        assert centre.tolist() == pytest.approx(expected.tolist(), abs=0.6)


def test_mouth_crop_has_gradients() -> None:
    frames = torch.rand(1, 3, 64, 64, requires_grad=True)
    mouth_crop(frames, upright_face(15, (32, 25)), 32).sum().backward()
    assert frames.grad is not None
    assert frames.grad.abs().sum() > 0
