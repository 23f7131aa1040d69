"""dlib's recogniser: against its formula step by step, and on faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage import data as pictures
from torch import Tensor

from talkface_core.face.model import load_face_model
from talkface_core.face_assets import ASSET_FOLDER, load_asset
from talkface_core.judges.face_recognition import (
    SAME_PERSON,
    FaceRecogniser,
    load_face_recogniser,
)
from talkface_core.tracking.tracker import FaceTracker

PEOPLE = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "people"


@pytest.fixture(scope="module")
def recogniser() -> FaceRecogniser:
    return load_face_recogniser()


@pytest.fixture(scope="module")
def tracker() -> FaceTracker:
    return FaceTracker()


def by_the_formula(faces: Tensor) -> Tensor:
    """dlib's network written down without folding: [N, 3, 150, 150] levels of 255 to [N, 128]."""
    _, w = load_asset("face_recognition", kind="face_recognition", code_version=1)

    def scaled(x: Tensor, name: str, stride: int, padding: int) -> Tensor:
        y = F.conv2d(x, w[f"{name}/conv/filters"], stride=stride, padding=padding)
        y = y + w[f"{name}/conv/bias"].view(-1, 1, 1)
        return y * w[f"{name}/scale/weights"].view(-1, 1, 1) + w[f"{name}/scale/biases"].view(-1, 1, 1)

    def block(x: Tensor, name: str) -> Tensor:
        return (x + scaled(scaled(x, f"{name}/conv1", 1, 1).relu(), f"{name}/conv2", 1, 1)).relu()

    def halving(x: Tensor, name: str) -> Tensor:
        deep = scaled(scaled(x, f"{name}/conv1", 2, 0).relu(), f"{name}/conv2", 1, 1)
        short = F.avg_pool2d(x, 2)
        total = torch.zeros(len(x), deep.shape[1], *np.maximum(deep.shape[2:], short.shape[2:]))
        total[:, :, : deep.shape[2], : deep.shape[3]] += deep
        total[:, : short.shape[1], : short.shape[2], : short.shape[3]] += short
        return total.relu()

    x = (faces - torch.tensor([122.782, 117.001, 104.298]).view(3, 1, 1)) / 255
    x = F.max_pool2d(scaled(x, "conv32_down", 2, 0).relu(), 3, 2)
    order = "32_1 32_2 32_3 64_down 64_1 64_2 64_3 128_down 128_1 128_2 256_down 256_1 256_2 256_down_out"
    for name in (f"conv{part}" for part in order.split()):
        x = halving(x, name) if "down" in name else block(x, name)
    return x.mean((2, 3)) @ w["fc"]


def test_descriptor_is_the_formula_s(recogniser: FaceRecogniser) -> None:
    faces = torch.rand(2, 3, 150, 150, generator=torch.Generator().manual_seed(0)) * 255
    expected = by_the_formula(faces)
    got = recogniser(faces / 127.5 - 1)
    assert got.shape == (2, 128)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(recogniser.describe(recogniser.maps(faces / 127.5 - 1)[-1]), got)


def test_maps_have_their_shapes(recogniser: FaceRecogniser) -> None:
    maps = recogniser.maps(torch.zeros(1, 3, 150, 150))
    assert [tuple(m.shape[1:]) for m in maps] == [(32, 35, 35), (64, 17, 17), (128, 8, 8), (256, 4, 4)]
    with pytest.raises(ValueError, match="150"):
        recogniser.maps(torch.zeros(1, 3, 128, 128))


def test_weights_are_frozen_and_gradients_flow(recogniser: FaceRecogniser) -> None:
    chips = torch.zeros(1, 3, 150, 150, requires_grad=True)
    recogniser(chips).square().sum().backward()
    assert chips.grad is not None
    assert float(chips.grad.abs().sum()) > 0
    assert not any(p.requires_grad for p in recogniser.parameters())


def test_shipped_file_is_small_enough() -> None:
    assert (ASSET_FOLDER / "face_recognition.safetensors").stat().st_size < 12e6


def found(tracker: FaceTracker, picture: np.ndarray) -> tuple[Tensor, Tensor]:
    """A picture in [-1, 1] and the points of its face."""
    face = tracker.track([np.ascontiguousarray(picture)])[0]
    assert face is not None
    return torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 127.5 - 1, torch.from_numpy(face.points)[None]


def test_one_person_is_nearer_than_two(recogniser: FaceRecogniser, tracker: FaceTracker) -> None:
    """A photograph against itself darker, smaller and mirrored, and against the face that ships."""
    woman = pictures.astronaut()
    small = np.ascontiguousarray(woman[::2, ::2])
    views = [woman, (woman * 0.6).astype(np.uint8), small, np.ascontiguousarray(woman[:, ::-1])]
    hers = torch.cat([recogniser.recognise(*found(tracker, view)) for view in views])
    model = load_face_model("default")
    drawn = model.renderer(model.default_identity(), runtime="torch-cpu").render(np.zeros(8192, np.float32), None)
    his = recogniser.recognise(*found(tracker, drawn))
    own = (hers[1:] - hers[:1]).norm(dim=1)
    other = (hers - his).norm(dim=1)
    assert float(own.max()) < SAME_PERSON < float(other.min())


@pytest.mark.shared
@pytest.mark.skipif(not PEOPLE.is_dir(), reason="no shared data beside the checkout")
def test_people_in_clips_are_told_apart(recogniser: FaceRecogniser) -> None:
    """First frame against one a second later: every person is nearest to itself, by a margin."""
    import av

    names = ("LivePortrait__d10.mp4", "LivePortrait__d12.mp4", "V-Express__vasa-1_13_gt.mp4", "LIA__obama.mov")
    early, late = [], []
    for name in names:
        with av.open(str(PEOPLE / name)) as container:
            frames = [f.to_ndarray(format="rgb24") for f, _ in zip(container.decode(video=0), range(26), strict=False)]
        own = FaceTracker()
        early.append(recogniser.recognise(*found(own, frames[0])))
        late.append(recogniser.recognise(*found(own, frames[-1])))
    distances = torch.cdist(torch.cat(early), torch.cat(late))
    own_distances = distances.diagonal()
    others = distances[~torch.eye(len(names), dtype=torch.bool)]
    assert float(own_distances.max()) < float(others.min()) - 0.1
