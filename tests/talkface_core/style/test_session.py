"""Frames to style values: state, the slow crop, frames without a face."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from talkface_core.face.generator import GeneratorConfig
from talkface_core.face.networks import FaceNetworks, seeded_networks
from talkface_core.style.input import SquareCrop, face_crop
from talkface_core.style.path import DEFAULT_STYLE_SETTINGS, StyleSettings, encode_style
from talkface_core.style.session import FOLLOW_RATE, CentredFace, StyleEncoderSession, is_jump
from talkface_core.tracking.alignment import CropSquare, cut_tensor, pixels_to_tensor
from talkface_core.tracking.tracker import TrackedFace

SIDE = 16
CONFIG = GeneratorConfig(resolution_px=SIDE, latent_dim=32, channel_base=128, channel_max=8, mapping_layers=1)


@pytest.fixture(scope="module")
def networks() -> FaceNetworks:
    return seeded_networks(CONFIG, 0)


def frames(count: int, height: int = 120, width: int = 160) -> list[NDArray[np.uint8]]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(count)]


class Scripted:
    """A follower that sees a face only in some frames."""

    def __init__(self, seen: list[bool]) -> None:
        self._seen = iter(seen)

    def update(self, frame: NDArray[np.uint8]) -> TrackedFace | None:
        return CentredFace().update(frame) if next(self._seen) else None


def test_session_equals_the_encoder_run_over_the_whole_clip(networks: FaceNetworks) -> None:
    clip = frames(5)
    session = StyleEncoderSession(networks, CentredFace())
    values = [session.encode_frame(frame) for frame in clip]
    # The face stands still, so the crop does too: the offline path in one call.
    face = CentredFace().update(clip[0])
    assert face is not None
    square = CropSquare.upright(*face_crop(face.points))
    crops = torch.cat([cut_tensor(pixels_to_tensor(f), square, SIDE) / 127.5 - 1 for f in clip])
    points = torch.from_numpy(square.to_crop(face.points, SIDE)).float().expand(5, -1, -1)
    expected, _ = encode_style(networks.style_encoder, DEFAULT_STYLE_SETTINGS, crops[None], points[None])
    np.testing.assert_allclose(np.stack([v for v in values if v is not None]), expected[0].numpy(), atol=1e-4)


def test_a_frame_without_a_face_gives_none_and_keeps_the_state(networks: FaceNetworks) -> None:
    a, b, c = frames(3)
    gap = StyleEncoderSession(networks, Scripted([True, False, True]))
    with_gap = [gap.encode_frame(f) for f in (a, b, c)]
    plain = StyleEncoderSession(networks, CentredFace())
    without = [plain.encode_frame(f) for f in (a, c)]
    assert with_gap[1] is None
    assert with_gap[2] is not None
    np.testing.assert_array_equal(with_gap[2], without[1])


def test_values_are_in_units_of_sigma() -> None:
    scaled = seeded_networks(CONFIG, 0)
    scaled.style_scale.fill_(0.5)
    (frame,) = frames(1)
    raw = StyleEncoderSession(seeded_networks(CONFIG, 0), CentredFace()).encode_frame(frame)
    values = StyleEncoderSession(scaled, CentredFace()).encode_frame(frame)
    assert raw is not None
    assert values is not None
    np.testing.assert_allclose(values, 2 * raw, rtol=1e-5)


def test_a_call_obeys_how_the_weights_were_trained_to_look(networks: FaceNetworks) -> None:
    """Uncovered, speech reaches the base layer; centred, the first frame is the origin."""

    def values(settings: StyleSettings) -> NDArray[np.float32]:
        other = FaceNetworks(CONFIG, settings).eval()
        other.load_state_dict(networks.state_dict())
        session = StyleEncoderSession(other, CentredFace())
        return np.stack([v for frame in frames(3) if (v := session.encode_frame(frame)) is not None])

    plain, open_mouth = values(StyleSettings()), values(StyleSettings(mask_mouth=False))
    assert np.abs(open_mouth[:, :12] - plain[:, :12]).max() > 1e-3
    np.testing.assert_array_equal(open_mouth[:, 12:], plain[:, 12:])
    running = np.cumsum(plain.astype(np.float64), axis=0) / np.arange(1, 4)[:, None]
    np.testing.assert_allclose(values(StyleSettings(center=True)), plain - running, atol=1e-6)


@pytest.mark.parametrize("shape", [(17, 300), (300, 17), (720, 576), (361, 487)])
def test_pictures_of_any_size(networks: FaceNetworks, shape: tuple[int, int]) -> None:
    (frame,) = frames(1, *shape)
    values = StyleEncoderSession(networks, CentredFace()).encode_frame(frame)
    assert values is not None
    assert values.shape == (16,)
    assert values.dtype == np.float32
    assert np.isfinite(values).all()


def test_wrong_pictures_are_named(networks: FaceNetworks) -> None:
    session = StyleEncoderSession(networks, CentredFace())
    with pytest.raises(ValueError, match=r"\[H, W, 3\] uint8"):
        session.encode_frame(np.zeros((20, 20, 4), np.uint8))


class Moved:
    """A follower of a face that is at another place in every frame, in pixels right of the middle."""

    def __init__(self, places: list[float]) -> None:
        self._places = iter(places)

    def update(self, frame: NDArray[np.uint8]) -> TrackedFace | None:
        face = CentredFace().update(frame)
        assert face is not None
        points = face.points + np.array([next(self._places), 0], np.float32)
        return TrackedFace(points, points, face.box, is_new=False)


def centre_xs(networks: FaceNetworks, places: list[float]) -> list[float]:
    session = StyleEncoderSession(networks, Moved(places))
    found = []
    (frame,) = frames(1)
    for _ in places:
        session.encode_frame(frame)
        assert session.crop is not None
        found.append(session.crop.centre_x)
    return found


def test_the_crop_is_the_mean_of_where_the_face_was(networks: FaceNetworks) -> None:
    start, *later = centre_xs(networks, [0, 10, 2, 4])
    assert [x - start for x in later] == pytest.approx([5, 4, 4], abs=1e-4)


def test_the_mean_becomes_a_slow_average(networks: FaceNetworks) -> None:
    still = round(1 / FOLLOW_RATE) + 100
    *_, before, after = centre_xs(networks, [0.0] * still + [10.0])
    assert after - before == pytest.approx(10 * FOLLOW_RATE, rel=1e-3)


def test_a_face_that_jumps_takes_the_crop_along_and_starts_a_new_mean(networks: FaceNetworks) -> None:
    start, far, near = centre_xs(networks, [0, 50, 60])
    assert far - start == pytest.approx(50, abs=1e-4)
    assert near - far == pytest.approx(5, abs=1e-4)


def test_a_jump_is_a_step_aside_or_another_distance() -> None:
    crop = SquareCrop(100.0, 100.0, 200.0)
    assert not is_jump(crop, SquareCrop(110.0, 100.0, 220.0))
    for far in (SquareCrop(180.0, 100.0, 200.0), SquareCrop(100.0, 100.0, 400.0), SquareCrop(100.0, 100.0, 90.0)):
        assert is_jump(crop, far)


def test_a_given_crop_never_moves(networks: FaceNetworks) -> None:
    whole = SquareCrop(60.0, 60.0, 120.0)
    session = StyleEncoderSession(networks, Moved([0, 8]), crop=whole)
    clip = frames(2, 120, 120)
    values = [session.encode_frame(frame) for frame in clip]
    assert session.crop == whole
    crops = torch.cat([cut_tensor(pixels_to_tensor(f), CropSquare.upright(*whole), SIDE) / 127.5 - 1 for f in clip])
    follower = Moved([0, 8])
    found = [face.points for f in clip if (face := follower.update(f)) is not None]
    points = torch.from_numpy(np.stack(found) * (SIDE / 120)).float()
    expected, _ = encode_style(networks.style_encoder, DEFAULT_STYLE_SETTINGS, crops[None], points[None])
    np.testing.assert_allclose(np.stack([v for v in values if v is not None]), expected[0].numpy(), atol=1e-4)
