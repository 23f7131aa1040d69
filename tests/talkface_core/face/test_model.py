"""The model as a call sees it: constants, renderer, style both ways, names and errors."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from talkface_core.errors import WeightsError
from talkface_core.face.model import TINY_CONFIG, TalkfaceModel, load_face_model
from talkface_core.interfaces import FaceIdentity, FaceModel
from talkface_core.sound.mel import MelWindow
from talkface_core.weights import save_face_weights


@pytest.fixture(scope="module")
def tiny() -> TalkfaceModel:
    return load_face_model("tiny")


def speech(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, 8192).astype(np.float32)


def test_info_publishes_the_constants(tiny: TalkfaceModel) -> None:
    model: FaceModel = tiny  # the interface holds, checked by mypy
    info = model.info
    assert (info.resolution_px, info.latent_dim, info.num_layers) == (64, 512, 10)
    assert info.frame_rate == 25
    assert info.sample_rate_hz == 16_000
    assert info.audio_lookahead_samples * 1000 <= 120 * 16_000
    assert info.audio_past_samples + info.audio_lookahead_samples == 8192
    assert 0 <= info.style_table_id <= 255
    assert info.weights_sha256 == load_face_model("tiny").info.weights_sha256


def test_render_is_g_of_the_sum(tiny: TalkfaceModel) -> None:
    identity = tiny.default_identity()
    renderer = tiny.renderer(identity, runtime="torch-cpu")
    renderer.warm_up()
    style = np.linspace(-1, 1, 16, dtype=np.float32)
    frame = renderer.render(speech(), style)
    networks = tiny.weights.networks
    mel = MelWindow()(torch.from_numpy(speech())[None])
    picture = networks(mel, torch.from_numpy(style)[None], torch.from_numpy(identity.z))
    expected = ((picture[0].permute(1, 2, 0).double() + 1) * 127.5).clamp(0, 255).numpy()
    assert frame.shape == (64, 64, 3)
    assert np.abs(frame - expected).max() <= 0.51
    assert renderer.runtime == "torch cpu fp32"


def test_sound_style_and_identity_each_change_the_frame_and_none_is_zero_style(tiny: TalkfaceModel) -> None:
    z = tiny.default_identity().z
    renderer = tiny.renderer(FaceIdentity(z), runtime="torch-cpu")
    frame = renderer.render(speech(), None)
    np.testing.assert_array_equal(frame, renderer.render(speech(), np.zeros(16, np.float32)))
    assert (frame != renderer.render(speech(1), None)).any()
    assert (frame != renderer.render(speech(), np.ones(16, np.float32))).any()
    offsets = np.full((10, 512), 0.2, np.float32)
    other = tiny.renderer(FaceIdentity(z, offsets), runtime="torch-cpu")
    assert (frame != other.render(speech(), None)).any()


def test_openvino_renders_the_tiny_face_like_torch(tiny: TalkfaceModel) -> None:
    identity = tiny.default_identity()
    fast, slow = (tiny.renderer(identity, runtime=name) for name in ("openvino", "torch-cpu"))
    a, b = fast.render(speech(), None).astype(np.float64), slow.render(speech(), None).astype(np.float64)
    assert 10 * np.log10(255**2 / np.square(a - b).mean()) >= 42


def test_read_only_and_strided_windows_are_accepted(tiny: TalkfaceModel) -> None:
    renderer = tiny.renderer(tiny.default_identity(), runtime="torch-cpu")
    strided = np.repeat(speech(), 2)[::2]
    strided.flags.writeable = False
    np.testing.assert_array_equal(renderer.render(strided, None), renderer.render(speech(), None))


def test_style_goes_from_frame_to_bytes_and_back(tiny: TalkfaceModel) -> None:
    session, encoder, decoder = tiny.style_encoder(), tiny.payload_encoder(), tiny.payload_decoder()
    values = session.encode_frame(np.full((90, 120, 3), 99, np.uint8))
    assert values is not None
    payload = encoder.encode(values, refresh=True, with_lips=True)
    decoded = decoder.decode(payload, is_contiguous=True)
    assert decoded is not None
    assert np.abs(decoded - values).max() <= 0.32


def test_wrong_shapes_are_named(tiny: TalkfaceModel) -> None:
    renderer = tiny.renderer(tiny.default_identity(), runtime="torch-cpu")
    with pytest.raises(ValueError, match=r"\[8192\] samples, not \[100\]"):
        renderer.render(np.zeros(100, np.float32), None)
    with pytest.raises(ValueError, match=r"\[16\] values, not \[4\]"):
        renderer.render(speech(), np.zeros(4, np.float32))
    with pytest.raises(ValueError, match=r"z must be \[512\], not \[64\]"):
        tiny.renderer(FaceIdentity(np.zeros(64, np.float32)))
    with pytest.raises(ValueError, match=r"offsets must be \[10, 512\]"):
        tiny.renderer(FaceIdentity(np.zeros(512, np.float32), np.zeros((3, 512), np.float32)))


def test_a_saved_model_loads_by_path_and_names_itself(tiny: TalkfaceModel, tmp_path: Path) -> None:
    digest = save_face_weights(tmp_path, tiny.weights, half=False)
    model = load_face_model(tmp_path)
    assert model.info.weights_sha256 == digest
    assert model.info.resolution_px == TINY_CONFIG.resolution_px
    frames = [m.renderer(tiny.default_identity(), runtime="torch-cpu").render(speech(), None) for m in (tiny, model)]
    np.testing.assert_array_equal(*frames)


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="nothing-here"):
        load_face_model(tmp_path / "nothing-here")


@pytest.mark.parametrize("runtime", ["torch-cpu", "openvino"])
def test_renderers_of_two_identities_share_a_runtime_and_may_draw_at_once(tiny: TalkfaceModel, runtime: str) -> None:
    rng = np.random.default_rng(1)
    identities = [FaceIdentity(rng.standard_normal(tiny.info.latent_dim).astype(np.float32)) for _ in range(2)]
    renderers = [tiny.renderer(identity, runtime=runtime) for identity in identities]
    assert renderers[0]._drawing is renderers[1]._drawing
    alone = [renderer.render(speech(), None) for renderer in renderers]
    assert np.abs(alone[0].astype(int) - alone[1]).max() > 0
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(renderers[index % 2].render, speech(), None) for index in range(20)]
        for index, job in enumerate(jobs):
            np.testing.assert_array_equal(job.result(), alone[index % 2])
