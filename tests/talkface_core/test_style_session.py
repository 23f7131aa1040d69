"""Frames to style values: state, the slow crop, frames without a face."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from talkface_core.alignment import CropSquare, cut_tensor, pixels_to_tensor
from talkface_core.face_networks import FaceNetworks, seeded_networks
from talkface_core.generator import GeneratorConfig
from talkface_core.style_input import SquareCrop, face_crop, style_input
from talkface_core.style_session import FOLLOW_RATE, CentredFace, StyleEncoderSession, follow
from talkface_core.tracking import TrackedFace

CONFIG = GeneratorConfig(resolution_px=16, latent_dim=32, channel_base=128, channel_max=8, mapping_layers=1)


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
    crops = torch.cat([cut_tensor(pixels_to_tensor(f), square, 256) / 127.5 - 1 for f in clip])
    points = torch.from_numpy(square.to_crop(face.points, 256)).float().expand(5, -1, -1)
    faces, mouths = style_input(crops, points)
    expected, _ = networks.style_encoder(faces[None], mouths[None])
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


def test_crop_creeps_after_motion_and_jumps_after_a_jump() -> None:
    crop = SquareCrop(100.0, 100.0, 200.0)
    crept = follow(crop, SquareCrop(110.0, 100.0, 220.0))
    assert crept == pytest.approx((100 + 10 * FOLLOW_RATE, 100.0, 200 + 20 * FOLLOW_RATE))
    for far in (SquareCrop(180.0, 100.0, 200.0), SquareCrop(100.0, 100.0, 400.0), SquareCrop(100.0, 100.0, 90.0)):
        assert follow(crop, far) == far
    assert follow(None, crop) == crop
